/**
 * From a step to its container that runs: image, secrets, networks, creation, attachment, start. What cannot be had fails
 * it, in the engine's own words, and leaves nothing behind.
 */
import { randomBytes } from 'node:crypto';
import type { Variable } from '../../config/job.ts';
import type { Image } from '../../docker/engine.ts';
import type { Attachment, JobContainerSpec } from '../../docker/job-engine.ts';
import { type JobSpecInput, jobContainerSpec } from '../../docker/job-spec.ts';
import { GantryError } from '../../errors.ts';
import { findOwner, ROOT } from '../../secrets/owner.ts';
import { isAway } from '../patience.ts';
import { discard } from './adopting.ts';
import { note, type StepContainer, type StepContext } from './step.ts';
import type { StepInput } from './step-input.ts';

export interface Started {
  readonly container: StepContainer;
  readonly attachment: Attachment;
}

/** Modes of Docker that are no networks. */
const NO_NETWORK = /^(default|bridge|host|none|container:.*)$/;

/** Does not feed it yet. Aborted: fails. */
export async function startStep(
  context: StepContext,
  input: StepInput,
  signal: AbortSignal,
): Promise<Started> {
  const image = await imageOf(context, signal);
  const secrets = await context.input.secrets.values(context.step.secrets);
  await checkNetworks(context);
  signal.throwIfAborted();
  const plain = specInput(context, image);
  const { name } = jobContainerSpec(plain);
  let isMade = false;
  try {
    const { secretFiles } = context.input;
    const binds = secrets.size === 0 ? [] : await secretFiles.place(name, secrets, ROOT);
    const spec = jobContainerSpec({ ...plain, binds });
    context.progress.asks();
    const id = await context.input.engine.create(spec);
    isMade = true;
    return await started(context, { id, name }, { spec, image, secrets, input, signal });
  } catch (error) {
    // They go with the container.
    if (!isMade) await context.input.secretFiles.remove(name);
    throw error;
  }
}

interface Preparation {
  readonly spec: JobContainerSpec;
  readonly image: Image;
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly input: StepInput;
  readonly signal: AbortSignal;
}

async function started(context: StepContext, container: StepContainer, made: Preparation): Promise<Started> {
  const { engine } = context.input;
  let attachment: Attachment | undefined;
  try {
    await giveSecrets(context, container, made);
    for (const network of made.spec.networks) {
      await engine.joinNetwork(container.id, network, made.spec.endpoints?.[network]);
    }
    attachment = await engine.attach(container.id);
    made.signal.throwIfAborted();
    await begin(context, container, made.input);
    return { container, attachment };
  } catch (error) {
    attachment?.close();
    // It may run although nobody said so: whoever begins anew finds it, and goes on with it.
    if (!isAway(error)) await discard(context, container);
    throw error;
  }
}

/** Before the start it is not known to run; after it, a container that is gone is missed. */
async function begin(context: StepContext, { id }: StepContainer, { kind, bytes }: StepInput): Promise<void> {
  const { input, progress, index } = context;
  await progress.note({ fed: kind === 'none', started: false });
  await input.engine.start(id);
  const startedAt = new Date(input.now()).toISOString();
  const status = { state: 'running', startedAt, container: id, inputBytes: bytes } as const;
  await progress.note({ started: true, steps: progress.withStatus(index, status) });
}

/** The accounts of the image tell who may read them, and only its container shows these. */
async function giveSecrets(
  context: StepContext,
  { id, name }: StepContainer,
  made: Preparation,
): Promise<void> {
  if (made.secrets.size === 0) return;
  const { engine, secretFiles } = context.input;
  const user = context.step.user ?? made.image.user;
  const owner = await findOwner(user, (path) => engine.readFile(id, path));
  await secretFiles.place(name, made.secrets, owner);
}

async function checkNetworks({ input, step }: StepContext): Promise<void> {
  for (const name of step.networks.filter((network) => !NO_NETWORK.test(network))) {
    if (await input.engine.networkExists(name)) continue;
    throw new GantryError('network-unknown', `this host has no Docker network ${name}`, {
      hint: `Create it with 'docker network create ${name}', or name one that 'docker network ls' shows.`,
    });
  }
}

async function imageOf(context: StepContext, signal: AbortSignal): Promise<Image> {
  const { engine } = context.input;
  const { image: ref, refresh } = context.step;
  const known = await engine.image(ref);
  if (known !== undefined && !refresh) return known;
  await note(context, `pulling ${ref}`);
  const pulled = await pull(context, signal);
  await note(context, known?.id === pulled.id ? `${ref} is up to date` : `pulled ${ref}`);
  if (known !== undefined && known.id !== pulled.id) await engine.removeImage(known.id);
  return pulled;
}

async function pull({ input, step }: StepContext, signal: AbortSignal): Promise<Image> {
  const { engine, secrets } = input;
  const { image: ref, registryAuth: auth } = step;
  if (auth === undefined) return engine.pull(ref, { signal });
  if ('file' in auth) return engine.pull(ref, { signal, authFile: auth.file });
  const id = await engine.pullWith(ref, await secrets.auth(auth), { signal });
  return (await engine.image(id)) ?? { id, digests: [], tags: [] };
}

function specInput(context: StepContext, image: Image): JobSpecInput {
  const { input, step, index } = context;
  const { project, run, hostId: host } = input;
  const suffix = randomBytes(2).toString('hex');
  const parts = { project, run: run.id, attempt: run.attempt, step, index, host, imageId: image.id };
  return { ...parts, environment: environmentOf(context), binds: [], suffix };
}

/** What a step is told of itself lies below all that was said for it. The names of a workflow engine before gantryd, too. */
function environmentOf({ input, step, index }: StepContext): readonly Variable[] {
  const { run } = input;
  const told: Readonly<Record<string, string>> = {
    GANTRYD_RUN: run.id,
    GANTRYD_JOB_NAME: run.job.name,
    GANTRYD_STEP_INDEX: String(index),
    GANTRYD_STEP_NAME: step.name,
    DRAY_JOB_ID: run.id,
    DRAY_JOB_NAME: run.job.name,
    DRAY_CURRENT_STEP_INDEX: String(index),
    DRAY_CURRENT_STEP_NAME: step.name,
  };
  const own = [...run.job.environment, ...step.environment];
  const said = new Set([...own.map((variable) => variable.name), ...rawNames(step.engine?.config.Env)]);
  const added = Object.entries(told).filter(([name]) => !said.has(name));
  return [...added.map(([name, value]) => ({ name, value })), ...own];
}

/** Of Docker's `Env`. */
function rawNames(env: unknown): readonly string[] {
  return Array.isArray(env) ? env.map((line) => String(line).split('=', 1)[0] ?? '') : [];
}
