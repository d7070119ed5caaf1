/** The commands of gantryd that go through etcd. Each imports what it needs when it runs. */
import type { Argv } from 'yargs';
import { keepYoungHeapSmall } from '../../young-heap.ts';
import { withEvents } from './events-options.ts';
import { withExec } from './exec-options.ts';
import { withLogs } from './logs-options.ts';
import {
  type RolloutArguments,
  withHistory,
  withList,
  withProject,
  withRollback,
  withRollout,
  withRun,
  withScale,
  withSetConfig,
  withStop,
  withUpdate,
  withWhy,
} from './options.ts';

const intent = () => import('./intent.ts');
const reports = () => import('./reports.ts');

export function withFleetCommands<T>(parser: Argv<T>, done: (code: number) => void): Argv<T> {
  return parser
    .command(
      'setconfig <project> <file>',
      'Store the project file for all hosts; nothing that runs changes',
      withSetConfig,
      async (args) => done(await (await intent()).runSetConfig(args)),
    )
    .command('getconfig <project>', 'Print the stored project file', withProject, async (args) =>
      done(await (await reports()).runGetConfig(args)),
    )
    .command(
      'update <project>',
      'Make a release of each component and roll it out, host by host',
      withUpdate,
      async (args) => done(await (await intent()).runUpdate(args)),
    )
    .command(
      'rollback <project>',
      'Go back to an earlier release, on all hosts at once',
      withRollback,
      async (args) => done(await (await intent()).runRollback(args)),
    )
    .command(
      'scale <project> <changes..>',
      'Run more or fewer containers of the same release',
      withScale,
      async (args) => done(await (await import('./scale.ts')).runScale(args)),
    )
    .command('run <project>', 'Be the agent of the project on this host', withRun, async (args) => {
      keepYoungHeapSmall(); // before what it loads has grown it
      const { runAgent } = await import('./run.ts');
      done(await runAgent(args));
    })
    .command('list <project>', 'Each component, or each on each host', withList, async (args) => {
      const { runList } = await import('./list.ts');
      done(await runList(args));
    })
    .command('stop <project>', 'Drain and stop components on all hosts', withStop, async (args) =>
      done(await (await intent()).runStop(args, 'stopped')),
    )
    .command('kill <project>', 'Kill components on all hosts, connections and all', withStop, async (args) =>
      done(await (await intent()).runStop(args, 'killed')),
    )
    .command(
      'history <project>',
      'The releases of a component and how they fared',
      withHistory,
      async (args) => done(await (await reports()).runHistory(args)),
    )
    .command('why <project>', 'What a component on its hosts waits for', withWhy, async (args) =>
      done(await (await reports()).runWhy(args)),
    )
    .command('events <project>', 'What happened, and who asked for what', withEvents, async (args) => {
      const { runEvents } = await import('./events.ts');
      done(await runEvents(args));
    })
    .command('logs <project>', 'What the containers of a component print', withLogs, async (args) => {
      const { runLogs } = await import('./logs.ts');
      done(await runLogs(args));
    })
    .command(
      'exec <project> [command..]',
      'Run a command in a container of a component',
      withExec,
      async (args) => {
        const { runExec } = await import('./exec.ts');
        done(await runExec(args));
      },
    )
    .command('rollout <action> <project>', 'Pause, resume or look at a rollout', withRollout, async (args) =>
      done(await runRollout(args)),
    );
}

async function runRollout(args: RolloutArguments): Promise<number> {
  if (args.action === 'status') return (await reports()).runRolloutStatus(args);
  return (await intent()).runSteer(args);
}
