/**
 * Entries of the cron server that gantryd replaces (docket): a name, a cron expression and the body of Docker's create
 * call. What of the body fits a step exactly becomes part of it, all else stays as it is in `step.engine`. And the way
 * back, for the clients of that server. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { imageProblem, withTag } from './image.ts';
import type { Job, Mount, Schedule, Step, Variable } from './job.ts';
import { networksOf, PLAIN_JOB, PLAIN_STEP } from './job-normalise.ts';
import { sourceProblem, targetProblem } from './mount.ts';
import { given } from './normalise.ts';
import { type Finding, isRecord, type Path, valueAt } from './problems.ts';
import type { RawDocket } from './schedule-schema.ts';

type Body = RawDocket['Container'];

const BIND = /^([^:]+):(\/[^:]*)(?::(ro|rw))?$/;

/** About the entry at the path, besides its name and its cron expression. */
export function docketRules(entry: unknown, base: Path): Finding[] {
  const config = ['Container', 'Config'];
  const image = valueAt(entry, [...config, 'Image']);
  const wrong = typeof image === 'string' && image !== '' ? imageProblem(image) : undefined;
  const found: Finding[] =
    wrong === undefined ? [] : [{ path: [...base, ...config, 'Image'], message: wrong }];
  const variables = valueAt(entry, [...config, 'Env']);
  for (const [index, variable] of (Array.isArray(variables) ? variables : []).entries()) {
    if (typeof variable !== 'string' || /^[^=]/.test(variable)) continue;
    const message = 'must be NAME=value, or NAME to take a variable of the image away';
    found.push({ path: [...base, ...config, 'Env', index], message });
  }
  return found;
}

export function jobOfDocket({ Name, Container }: RawDocket): Job {
  return { ...PLAIN_JOB, name: Name, steps: [stepOfBody(Container)] };
}

/** The entry that makes this schedule; undefined: it has more to it than an entry can say. */
export function docketOf({ name, cron, job }: Schedule): RawDocket | undefined {
  const [step, second] = job.steps;
  if (step === undefined || second !== undefined) return undefined;
  const entry = { Name: name, Cron: cron, Container: bodyOfStep(step) };
  return isDeepStrictEqual(jobOfDocket(entry), job) ? entry : undefined;
}

function bodyOfStep({ engine, ...step }: Step): Body {
  const { config = {}, hostConfig = {}, networkingConfig = {} } = engine ?? {};
  const taken = Array.isArray(config.Env) ? config.Env.map(String) : [];
  const variables = [...step.environment.map(({ name, value }) => `${name}=${value}`), ...taken];
  const binds = step.mounts.map((mount) => `${mount.source}:${mount.target}${mount.readOnly ? ':ro' : ''}`);
  return {
    Config: {
      ...{ ...config, Image: step.image },
      ...given({
        Env: variables.length === 0 ? undefined : variables,
        Cmd: step.command && [...step.command],
        Entrypoint: step.entrypoint && [...step.entrypoint],
        User: step.user,
      }),
    },
    HostConfig: {
      ...hostConfig,
      ...given({
        Memory: step.memoryBytes,
        NanoCpus: step.cpus === undefined ? undefined : Math.round(step.cpus * 1e9),
        CpuShares: step.cpuShares,
        NetworkMode: step.networks[0],
        ...(binds.length === 0 ? {} : { Binds: binds }),
      }),
    },
    NetworkingConfig: { ...networkingConfig },
  };
}

function stepOfBody({ Config, HostConfig = {}, NetworkingConfig = {} }: Body): Step {
  const { Image, Env = [], Cmd, Entrypoint, User, ...rest } = Config;
  const taken = Env.filter((text) => !text.includes('='));
  const config = taken.length === 0 ? rest : { ...rest, Env: taken };
  // Every container of a job is removed.
  const { Memory, NanoCpus, CpuShares, Binds, NetworkMode, AutoRemove: _, ...host } = HostConfig;
  const mounts = mountsOf(Binds ?? []);
  const hostConfig = mounts === undefined ? { ...host, Binds } : host;
  const engine = { config, hostConfig, networkingConfig: NetworkingConfig };
  return {
    ...PLAIN_STEP,
    image: withTag(Image),
    environment: Env.filter((text) => text.includes('=')).map(variableOf),
    networks: networksOf(NetworkMode ? [NetworkMode] : []),
    mounts: mounts ?? [],
    ...given({
      command: wordsOf(Cmd),
      entrypoint: wordsOf(Entrypoint),
      user: User || undefined,
      memoryBytes: Memory || undefined,
      cpus: NanoCpus ? NanoCpus / 1e9 : undefined,
      cpuShares: CpuShares || undefined,
      engine: Object.values(engine).some((part) => isRecord(part) && Object.keys(part).length > 0)
        ? engine
        : undefined,
    }),
  };
}

function variableOf(text: string): Variable {
  const equals = text.indexOf('=');
  return { name: text.slice(0, equals), value: text.slice(equals + 1) };
}

/** All of them, or undefined when one has more to it than a step knows, as `z` or `shared`. */
function mountsOf(binds: readonly string[]): Mount[] | undefined {
  const mounts = binds.flatMap((bind): Mount[] => {
    const [, source = '', target = '', mode] = BIND.exec(bind) ?? [];
    const fits = sourceProblem(source) === undefined && targetProblem(target) === undefined;
    return fits ? [{ source, target, readOnly: mode === 'ro' }] : [];
  });
  return mounts.length === binds.length ? mounts : undefined;
}

/** Docker takes a text for a list of one. */
function wordsOf(words: string | readonly string[] | undefined): readonly string[] | undefined {
  const list = typeof words === 'string' ? [words] : words;
  return list === undefined || list.length === 0 ? undefined : list;
}
