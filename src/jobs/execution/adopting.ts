/**
 * What an execution finds of itself: the container of the step that was under way when it was left, or when its process
 * or its engine went away. Whatever else there is of the run on this host is removed.
 */
import type { RunEnd } from '../../cluster/job-values.ts';
import type { JobContainer } from '../../docker/job-engine.ts';
import { patiently } from '../patience.ts';
import { endOf, nameOf, note, type StepContainer, type StepContext } from './step.ts';

/** `none`: the step begins. `adopted`: it goes on. `over`: it cannot. */
export type Found =
  | { readonly kind: 'none' }
  | { readonly kind: 'adopted'; readonly container: StepContainer }
  | { readonly kind: 'over'; readonly end: RunEnd };

export async function findStep(context: StepContext): Promise<Found> {
  const { input, progress, index } = context;
  if (progress.isFirst && progress.isUntouched) return { kind: 'none' };
  // One that nobody has begun yet may be cancelled while the engine is away: it has left nothing there.
  const { left, cancelled } = input;
  const until = progress.isUntouched ? AbortSignal.any([left, cancelled]) : left;
  const containers = await containersOf(context, until);
  const isOurs = (c: JobContainer) => c.attempt === input.run.attempt && c.step === index;
  const ran = containers.find((c) => isOurs(c) && c.state !== 'created');
  for (const other of containers) if (other !== ran) await discard(context, other);
  if (ran === undefined)
    return progress.value.started ? { kind: 'over', end: vanished(context) } : { kind: 'none' };
  if (progress.value.fed) return { kind: 'adopted', container: ran };
  await discard(context, ran);
  return { kind: 'over', end: halfFed(context) };
}

/** Of a run of which no step is to go on. */
export async function removeAll(context: StepContext): Promise<void> {
  for (const container of await containersOf(context, context.input.left)) await discard(context, container);
}

function containersOf(context: StepContext, until: AbortSignal): Promise<readonly JobContainer[]> {
  const { engine, project, hostId, run } = context.input;
  const look = () => engine.jobContainers({ project, host: hostId, run: run.id });
  return patiently(look, until, (error) => sayAway(context, error));
}

/** The container, running or not, and the files of its secrets. Gone is success. */
export async function discard(context: StepContext, { id, name }: StepContainer): Promise<void> {
  const { engine, secretFiles, left } = context.input;
  await patiently(
    () => engine.remove(id),
    left,
    (error) => sayAway(context, error),
  );
  await secretFiles.remove(name);
}

export function sayAway(context: StepContext, error: unknown): Promise<void> {
  return note(context, `waiting for the Docker engine: ${error instanceof Error ? error.message : error}`);
}

export function halfFed(context: StepContext): RunEnd {
  const why = `${nameOf(context)} was not fed all of its input: gantryd, or the Docker engine, went away meanwhile`;
  return endOf(context, { kind: 'input', why, hint: 'With retries the job is tried again by itself.' });
}

export function vanished(context: StepContext): RunEnd {
  const why = `${nameOf(context)} was removed by somebody else before it was known how it ended`;
  return endOf(context, { kind: 'output', why });
}
