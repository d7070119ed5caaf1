/** `gantry CONFIG ACTION COMPONENT` and `gantryd local ACTION CONFIG COMPONENT`. */

import { LocalHost, type Outcome, rememberedComponent } from '../agent/local.ts';
import { explain } from '../agent/plan/explain.ts';
import type { Plan } from '../agent/plan/plan.ts';
import { instancesWords, type ScaleTo } from '../agent/scale.ts';
import { openStateDir, type StateDir } from '../agent/state-dir.ts';
import { openBoxStore } from '../cluster/box.ts';
import { loadProject } from '../config/load.ts';
import type { Project } from '../config/project.ts';
import { didYouMean } from '../config/suggest.ts';
import { openJobEngine } from '../docker/dockerode.ts';
import { GantryError, isGantryError } from '../errors.ts';
import { boxSecrets } from '../secrets/box.ts';
import { scaleChange } from './fleet/scale-words.ts';
import { interruptible } from './interrupt.ts';
import type { LocalArguments } from './options.ts';
import { type Output, openOutput } from './output.ts';
import { renderList } from './render.ts';

type Changing = 'update' | 'start' | 'stop' | 'kill';

export function runLocal(args: LocalArguments): Promise<number> {
  if (args.action !== 'scale' || args.component === undefined) return runOn(args, 'config');
  const { name, to } = scaleChange(args.component);
  return runOn({ ...args, component: name }, to);
}

async function runOn(args: LocalArguments, to: ScaleTo): Promise<number> {
  const output = openOutput({ json: args.json, level: args.logLevel });
  const project = await loadProject(args.config, args.set, { component: args.component });
  if (args.action === 'check') return check(args, project, output);
  const name = requireName(args, project);
  const stateDir = await openStateDir(args.stateDir);
  const known = await withRemembered(args, name, project, stateDir);
  const { host, close } = openHost(args, known, stateDir, output);
  try {
    if (args.action === 'list') return await list(host, name, output);
    if (args.action === 'scale') return await scale(host, name, { ...args, to }, output);
    if (args.dryRun) return await dryRun(host, name, args.action, output);
    return await act(host, name, args, output);
  } finally {
    output.end();
    await close();
  }
}

function openHost(args: LocalArguments, project: Project, stateDir: StateDir, output: Output) {
  const engine = openJobEngine(args.docker === undefined ? {} : { address: args.docker });
  const store = openBoxStore(stateDir.path);
  const emit = (event: Parameters<Output['event']>[0]) => output.event(event);
  const { path, hostId } = stateDir;
  const secrets = {
    secrets: boxSecrets(path, store),
    readFile: (id: string, inside: string) => engine.readFile(id, inside),
  };
  const host = new LocalHost({ stateDir: path, hostId, engine, project, secrets, emit });
  const close = async () => {
    engine.close();
    await store.close();
  };
  return { host, close };
}

function act(host: LocalHost, name: string, args: LocalArguments, output: Output): Promise<number> {
  return interruptible(async (signal) => {
    if (args.action === 'stop') return end(host.stop(name, signal), name, 'stop', output);
    if (args.action === 'kill') return end(host.kill(name, signal), name, 'kill', output);
    const action = args.action === 'start' ? 'start' : 'update';
    await deploy(host, name, { ...args, action }, signal, output);
    if (args.monitor && !signal.aborted) await host.monitor(name, signal);
    return 0;
  });
}

async function deploy(
  host: LocalHost,
  name: string,
  args: LocalArguments & { readonly action: 'start' | 'update' },
  signal: AbortSignal,
  output: Output,
): Promise<void> {
  const { action, pull, monitor } = args;
  // Who stays need not wait for the drain before it watches: the monitor goes on with it.
  const detach = args.detach || monitor;
  const tell = (outcome: string, words: string) => {
    output.end();
    output.result({ kind: 'result', component: name, action, outcome }, words);
  };
  try {
    const outcome = await host[action](name, { pull, detach }, signal);
    const left = monitor && !signal.aborted ? WATCHED : LEFT;
    const done = action === 'start' ? `Component ${name} is running` : `Component ${name} is updated`;
    tell(outcome, outcome === 'draining' ? `${SWITCHED} ${left}` : done);
  } catch (error) {
    // start -m on a component that runs: there is nothing to start, and it is monitored as asked.
    if (!monitor || !isGantryError(error, 'already-running')) throw error;
    tell('already-running', error.message);
  }
}

const SWITCHED = 'The new containers serve. The old ones drain on;';
const LEFT = 'the next command on the component removes them.';
const WATCHED = 'they are removed while the component is monitored.';

async function end(
  run: Promise<Outcome>,
  name: string,
  action: 'stop' | 'kill',
  output: Output,
): Promise<number> {
  const outcome = await run;
  output.end();
  output.result({ kind: 'result', component: name, action, outcome }, endWords(name, action, outcome));
  return outcome === 'draining' ? 1 : 0;
}

/** Ctrl-C leaves the rest to the next command. */
async function scale(
  host: LocalHost,
  name: string,
  { to, dryRun }: LocalArguments & { readonly to: ScaleTo },
  output: Output,
): Promise<number> {
  if (dryRun) {
    tellPlan(name, 'scale', await host.forecastScale(name, to), output);
    return 0;
  }
  const outcome = await interruptible((signal) => host.scale(name, to, signal));
  output.end();
  const number = to === 'config' ? 'as its config says' : `to ${instancesWords(to)}`;
  const words = {
    done: `Component ${name} is scaled ${number}`,
    draining: `Interrupted: ${name} is to be scaled ${number}; the next command on the component goes on.`,
    'not-running': `Component ${name} does not run; it is scaled ${number} from its next start on`,
  };
  output.result({ kind: 'result', component: name, action: 'scale', outcome }, words[outcome]);
  return outcome === 'draining' ? 1 : 0;
}

function endWords(name: string, action: 'stop' | 'kill', outcome: Outcome): string {
  if (outcome === 'not-running') return `Component ${name} is not running`;
  if (outcome === 'done') return `Component ${name} is ${action === 'stop' ? 'stopped' : 'killed'}`;
  return `Interrupted: ${name} gets no traffic and drains on; the next command on the component goes on.`;
}

async function list(host: LocalHost, name: string, output: Output): Promise<number> {
  const [containers, listeners] = await Promise.all([host.list(name), host.listeners(name)]);
  const ports = listeners.filter(({ plane, planeWhy }) => plane !== undefined || planeWhy !== undefined);
  const rows = containers.map(({ container, image, status, held }) => ({
    ...container,
    image,
    uptime: container.status,
    status,
    connections: held,
  }));
  const document = { component: name, containers: rows, ...(ports.length === 0 ? {} : { ports }) };
  output.document(document, renderList(name, containers, ports));
  return 0;
}

async function dryRun(host: LocalHost, name: string, action: Changing, output: Output): Promise<number> {
  tellPlan(name, action, await host.forecast(name, action), output);
  return 0;
}

function tellPlan(name: string, action: Changing | 'scale', plan: Plan, output: Output): void {
  output.document(
    { component: name, action, plan },
    plan.length === 0 ? `${name}: nothing to do` : explain(plan),
  );
}

/** Validates; where the host can be looked at, also says what an update would do. */
async function check(args: LocalArguments, project: Project, output: Output): Promise<number> {
  const all = project.components.map((c) => c.name);
  if (args.component !== undefined && !all.includes(args.component)) throw unknown(args, project);
  const names = args.component === undefined ? all : [args.component];
  const count = `${names.length} component${names.length === 1 ? '' : 's'}`;
  output.document(
    { valid: true, project: project.name, components: names },
    `${args.config} is valid: project ${project.name}, ${count}`,
  );
  try {
    await forecastAll(args, project, names, output);
  } catch (error) {
    if (!isGantryError(error) || error.code === 'internal' || error.code === 'usage') throw error;
    output.document({ plan: null, why: error.message }, `No plan: ${error.message}`);
  }
  return 0;
}

async function forecastAll(args: LocalArguments, project: Project, names: readonly string[], output: Output) {
  const { host, close } = openHost(args, project, await openStateDir(args.stateDir), output);
  try {
    for (const name of names) await forecastOne(host, name, output);
  } finally {
    await close();
  }
}

async function forecastOne(host: LocalHost, name: string, output: Output): Promise<void> {
  try {
    await dryRun(host, name, 'update', output);
  } catch (error) {
    // What other components must be started first for says nothing about these.
    if (!isGantryError(error, 'link-unavailable')) throw error;
    const why = error.message;
    output.document({ component: name, action: 'update', plan: null, why }, `${name}: no plan: ${why}`);
  }
}

function requireName(args: LocalArguments, project: Project): string {
  if (args.component !== undefined) return args.component;
  throw new GantryError('usage', `${args.action} needs the name of a component`, {
    hint: `The components of ${args.config} are: ${namesIn(project)}.`,
  });
}

/** What this host runs can be listed and ended even when the config does not have it any more. */
async function withRemembered(
  args: LocalArguments,
  name: string,
  project: Project,
  stateDir: StateDir,
): Promise<Project> {
  if (project.components.some((c) => c.name === name)) return project;
  const remembered = await rememberedComponent(stateDir.path, project.name, name);
  if (remembered === undefined) throw unknown(args, project);
  if (args.action === 'start' || args.action === 'update') throw removed(args, project);
  return { ...project, components: [...project.components, remembered] };
}

function unknown({ config, component = '' }: LocalArguments, project: Project): GantryError {
  const names = project.components.map((c) => c.name);
  return new GantryError(
    'component-unknown',
    `${config} has no component ${component}${didYouMean(component, names)}`,
    { hint: `Its components are: ${namesIn(project)}.` },
  );
}

function removed({ config, component }: LocalArguments, project: Project): GantryError {
  return new GantryError('component-unknown', `${config} has no component ${component} any more`, {
    hint: `It has: ${namesIn(project)}. What runs of ${component} is still known here to list, stop and kill.`,
  });
}

function namesIn(project: Project): string {
  return project.components.map((c) => c.name).join(', ');
}
