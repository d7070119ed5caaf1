/**
 * One command run inside a container through the engine. Tells a command that takes too long (the
 * container's fault) from an engine that does not answer (nobody's verdict). Never throws.
 */
import { isGantryError, messageOf } from '../errors.ts';
import { within } from './deadline.ts';
import { GIVEN_UP, oneLine, type Seen, withExcerpt } from './saw.ts';

/** What probes and signals need of the world beside sockets. */
export interface Surroundings {
  /** Runs a command inside the container; as Engine.exec. */
  exec(
    container: string,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<{ readonly exitCode: number; readonly output: string }>;
  /** Connections the proxy holds to the container. */
  connections(container: string): Promise<number>;
  /** Epoch milliseconds. */
  now(): number;
  /**
   * Any cheap call to the engine: rejects or hangs while it is away. Asked only after a command ran out of
   * time; without it such a command counts as failed even if it was the engine that hung.
   */
  engineAnswers?(): Promise<unknown>;
}

export interface ExecQuestion {
  readonly container: string;
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

/** How long the engine may take to prove that it is not the one who hangs. */
const ENGINE_ANSWER_MS = 2_000;
/** An engine's own timer may end this much before ours and still mean the same deadline. */
const SAME_DEADLINE_MS = 50;

/** Passes on exit code 0. */
export async function askExec(
  question: ExecQuestion,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<Seen> {
  const { container, command, timeoutMs } = question;
  const began = performance.now();
  const run = () => surroundings.exec(container, command, timeoutMs);
  const outcome = await within(run, timeoutMs, signal);
  if (outcome.kind === 'aborted') return GIVEN_UP;
  if (outcome.kind === 'timeout') return await tooLong(timeoutMs, surroundings, signal);
  if (outcome.kind === 'done') return exited(outcome.value);
  const early = performance.now() - began < timeoutMs - SAME_DEADLINE_MS;
  if (isGantryError(outcome.error, 'engine-timeout') && !early) {
    return await tooLong(timeoutMs, surroundings, signal);
  }
  return refused(outcome.error);
}

function exited(result: { readonly exitCode: number; readonly output: string }): Seen {
  const saw = `exit code ${result.exitCode}${withExcerpt(result.output)}`;
  return { ok: result.exitCode === 0, status: result.exitCode, saw };
}

async function tooLong(timeoutMs: number, surroundings: Surroundings, signal: AbortSignal): Promise<Seen> {
  const saw = `the command did not end within ${timeoutMs} ms`;
  const ask = surroundings.engineAnswers?.bind(surroundings);
  if (ask === undefined) return { ok: false, saw };
  const outcome = await within(ask, ENGINE_ANSWER_MS, signal);
  if (outcome.kind === 'aborted') return GIVEN_UP;
  if (outcome.kind === 'done') return { ok: false, saw };
  return { ok: false, inconclusive: true, saw: `${saw}, and the Docker engine does not answer` };
}

function refused(error: unknown): Seen {
  const away = isGantryError(error, 'engine-unreachable') || isGantryError(error, 'engine-timeout');
  const saw = `the command could not be run: ${oneLine(messageOf(error))}`;
  return away ? { ok: false, inconclusive: true, saw } : { ok: false, saw };
}
