/** `gantry CONFIG ACTION COMPONENT` and `gantryd local ACTION CONFIG COMPONENT`. */
import { explain } from '../agent/explain.ts';
import { LocalHost, type Outcome } from '../agent/local.ts';
import { openStateDir } from '../agent/state-dir.ts';
import { loadProject } from '../config/load.ts';
import type { Project } from '../config/project.ts';
import { openEngine } from '../docker/dockerode.ts';
import { GantryError, isGantryError } from '../errors.ts';
import { interruptible } from './interrupt.ts';
import type { LocalArguments } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { renderList } from './render.ts';

type Changing = 'update' | 'start' | 'stop' | 'kill';

export async function runLocal(args: LocalArguments): Promise<number> {
  const { json, logLevel } = args;
  const output = openOutput({
    json,
    debug: logLevel === 'debug',
    quiet: logLevel === 'error' || logLevel === 'silent',
  });
  const project = await loadProject(
    args.config,
    args.set,
    args.component === undefined ? {} : { component: args.component },
  );
  if (args.action === 'check') return check(args, project, output);
  const name = requireComponent(args, project);
  const { host, close } = await openHost(args, project, output);
  try {
    if (args.dryRun && args.action !== 'list')
      return await dryRun(host, name, args.action as Changing, output);
    return await act(host, name, args, output);
  } finally {
    output.end();
    close();
  }
}

async function openHost(args: LocalArguments, project: Project, output: Output) {
  const stateDir = await openStateDir(args.stateDir);
  const engine = openEngine(args.docker === undefined ? {} : { address: args.docker });
  const emit = (event: Parameters<Output['event']>[0]) => output.event(event);
  const host = new LocalHost({ stateDir: stateDir.path, hostId: stateDir.hostId, engine, project, emit });
  return { host, close: () => engine.close() };
}

async function act(host: LocalHost, name: string, args: LocalArguments, output: Output): Promise<number> {
  if (args.action === 'list') return list(host, name, output);
  return interruptible(async (signal) => {
    if (args.action === 'stop') return end(host.stop(name, signal), name, 'stopped', output);
    if (args.action === 'kill') return end(host.kill(name, signal), name, 'killed', output);
    const code = await deploy(host, name, args, signal, output);
    if (code === 0 && args.monitor && !signal.aborted) await host.monitor(name, signal);
    return code;
  });
}

async function deploy(
  host: LocalHost,
  name: string,
  args: LocalArguments,
  signal: AbortSignal,
  output: Output,
): Promise<number> {
  const options = { pull: args.pull, detach: args.detach };
  try {
    const run =
      args.action === 'start' ? host.start(name, options, signal) : host.update(name, options, signal);
    if ((await run) === 'draining') {
      output.end();
      output.line(
        'The new containers serve. The old ones drain on; the next command on the component removes them.',
      );
    }
    return 0;
  } catch (error) {
    // start -m on a component that runs: there is nothing to start, and it is monitored as asked.
    if (!args.monitor || !isGantryError(error, 'already-running')) throw error;
    output.line(error.message);
    return 0;
  }
}

async function end(run: Promise<Outcome>, name: string, word: string, output: Output): Promise<number> {
  if (word === 'stopped') output.line('Draining all containers...');
  const outcome = await run;
  output.end();
  if (outcome === 'draining') {
    output.line(
      `Interrupted: ${name} gets no traffic and drains on; the next command on the component goes on.`,
    );
    return 1;
  }
  output.line(
    outcome === 'not-running' ? `Component ${name} is not running` : `Component ${name} is ${word}`,
  );
  return 0;
}

async function list(host: LocalHost, name: string, output: Output): Promise<number> {
  const containers = await host.list(name);
  const rows = containers.map(({ container, status, held }) => ({
    ...container,
    uptime: container.status,
    status,
    connections: held,
  }));
  output.document({ component: name, containers: rows }, renderList(name, containers));
  return 0;
}

async function dryRun(host: LocalHost, name: string, action: Changing, output: Output): Promise<number> {
  const plan = await host.forecast(name, action);
  output.document(
    { component: name, action, plan },
    plan.length === 0 ? `${name}: nothing to do` : explain(plan),
  );
  return 0;
}

/** Validates; with an engine at hand also says what an update would do. */
async function check(args: LocalArguments, project: Project, output: Output): Promise<number> {
  const names =
    args.component === undefined ? project.components.map((c) => c.name) : [requireComponent(args, project)];
  output.line(
    `${args.config} is valid: project ${project.name}, ${names.length} component${names.length === 1 ? '' : 's'}`,
  );
  const { host, close } = await openHost(args, project, output);
  try {
    for (const name of names) await dryRun(host, name, 'update', output);
  } catch (error) {
    if (!isGantryError(error, 'engine-unreachable')) throw error;
    output.document({ valid: true, project: project.name, plan: null }, `No plan: ${error.message}`);
  } finally {
    close();
  }
  return 0;
}

function requireComponent(args: LocalArguments, project: Project): string {
  const known = project.components.map((c) => c.name);
  if (args.component === undefined) {
    throw new GantryError('usage', `${args.action} needs the name of a component`, {
      hint: `The components of ${args.config} are: ${known.join(', ')}.`,
    });
  }
  if (known.includes(args.component)) return args.component;
  throw new GantryError('component-unknown', `${args.config} has no component ${args.component}`, {
    hint: `Its components are: ${known.join(', ')}.`,
  });
}
