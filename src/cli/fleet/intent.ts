/** The commands that ask something of a fleet: setconfig, update, rollback, stop, kill, rollout pause and resume. */
import { loadForStore } from '../../config/load.ts';
import { openEngine } from '../../docker/dockerode.ts';
import { GantryError } from '../../errors.ts';
import { resolveImage } from '../../fleet/images.ts';
import { rollback, setStatus, update } from '../../fleet/intents/intents.ts';
import type { Fleet } from '../../fleet/intents/look.ts';
import { pauseRollout, resumeRollout } from '../../fleet/intents/steer.ts';
import { setConfig } from '../../fleet/intents/stored-config.ts';
import type { Change } from '../../fleet/intents/transact.ts';
import { whoAsks, withFleet } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { type Output, outputOf } from '../output.ts';
import { shortImage } from '../render.ts';
import type {
  RollbackArguments,
  RolloutArguments,
  SetConfigArguments,
  UpdateArguments,
  WaitArguments,
} from './options.ts';
import { waitFor } from './wait.ts';

export async function runSetConfig(args: SetConfigArguments): Promise<number> {
  const output = outputOf(args);
  const { project, file } = args;
  const stored = await loadForStore(file, project);
  const changed = await withFleet(args, (fleet) =>
    setConfig(fleet, { project, file: stored, by: whoAsks() }),
  );
  output.document({ project, changed }, 'Configuration updated');
  return 0;
}

export async function runUpdate(args: UpdateArguments): Promise<number> {
  const output = outputOf(args);
  await withFleet(args, async (fleet) => {
    const { changes, warnings } = await askUpdate(fleet, args, output);
    output.end();
    const lines = changes.map(
      (c) => `Component ${c.component} -> ${shortImage(c.image.id)} (release ${c.release})`,
    );
    const words = ['Updating the image IDs on components', ...warnings.map((w) => `Warning: ${w}`), ...lines];
    output.document({ project: args.project, components: changes, warnings }, words.join('\n'));
    await waited(fleet, args, changes, 'ready', output);
  });
  return 0;
}

/** Ctrl-C before anything was written ends it with nothing changed. */
function askUpdate(fleet: Fleet, args: UpdateArguments, output: Output) {
  const { project, component: components, note, pull, docker } = args;
  const engine = openEngine(docker === undefined ? {} : { address: docker });
  return interruptible((signal) =>
    update(fleet, {
      ...{ project, components, by: whoAsks() },
      ...(note === undefined ? {} : { note }),
      resolve: async (c) => {
        const image = await resolveImage(c, { engine, pull, tell: (event) => output.event(event), signal });
        if (signal.aborted) throw new GantryError('interrupted', 'Interrupted; nothing has changed');
        return image;
      },
    }),
  ).finally(() => engine.close());
}

export async function runRollback(args: RollbackArguments): Promise<number> {
  const output = outputOf(args);
  const { project, component: components, to } = args;
  if (to !== undefined && components.length !== 1) {
    throw new GantryError('usage', '--to needs one component: -c NAME', {
      hint: 'Each component counts its own releases.',
    });
  }
  await withFleet(args, async (fleet) => {
    const asked = { project, components, by: whoAsks() };
    const changes = await rollback(fleet, to === undefined ? asked : { ...asked, to });
    const lines = changes.map(({ component, release, changed }) =>
      changed
        ? `Component ${component} -> release ${release}`
        : `Component ${component} is at release ${release} already`,
    );
    output.document({ project, components: changes }, ['Rolling back components', ...lines].join('\n'));
    await waited(fleet, args, changes, 'ready', output);
  });
  return 0;
}

export async function runStop(args: WaitArguments, status: 'stopped' | 'killed'): Promise<number> {
  const output = outputOf(args);
  const { project, component: components } = args;
  await withFleet(args, async (fleet) => {
    const changes = await setStatus(fleet, { project, components, by: whoAsks(), status });
    const lines = changes.map((change) => stopWords(change, status));
    const words = [`Marking components as ${status}`, ...lines];
    output.document({ project, status, components: changes }, words.join('\n'));
    await waited(fleet, args, changes, status, output);
  });
  return 0;
}

function stopWords({ component, release, generation, changed }: Change, status: string): string {
  if (generation === 0) return `Component ${component} was never deployed`;
  if (!changed) return `Component ${component} is ${status} already`;
  return `Component ${component} -> ${status} (release ${release} is kept)`;
}

export async function runSteer(args: RolloutArguments): Promise<number> {
  const output = outputOf(args);
  const { project, action } = args;
  const asked = { project, component: args.component[0] ?? '', by: whoAsks() };
  const steered = await withFleet(args, (fleet) =>
    action === 'pause' ? pauseRollout(fleet, asked) : resumeRollout(fleet, asked),
  );
  const { component, release, state, attempt, changed } = steered;
  const words =
    action === 'pause'
      ? `The rollout of release ${release} of ${component} is paused${changed ? '' : ' already'}; hosts in their turn end it`
      : `The rollout of release ${release} of ${component} goes on: ${state}, attempt ${attempt}`;
  output.document({ project, ...steered }, words);
  return 0;
}

async function waited(
  fleet: Fleet,
  args: WaitArguments,
  changes: readonly Change[],
  status: 'ready' | 'stopped' | 'killed',
  output: Output,
): Promise<void> {
  const asked = changes.filter((c) => c.generation > 0);
  if (!args.wait || asked.length === 0) return;
  const targets = asked.map(({ component, release, generation }) => ({
    component,
    release,
    generation,
    status,
  }));
  await waitFor(fleet, args, targets, output);
}
