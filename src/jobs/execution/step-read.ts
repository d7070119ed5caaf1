/**
 * Reads all that a container prints, until it has ended. When the connection or the engine goes away in the middle, it
 * goes on from the engine's own log, of which the beginning is known already.
 */
import type { Piece } from '../../docker/demux.ts';
import { isGantryError } from '../../errors.ts';
import { pause } from '../../poke.ts';
import { isAway, patiently } from '../patience.ts';
import { sayAway } from './adopting.ts';
import type { StepContainer, StepContext } from './step.ts';
import type { Intake } from './step-output.ts';

/** Between two readings from the beginning. */
const AGAIN_PAUSE_MS = 500;

/** What became of the engine while a container was read. */
export interface Absence {
  /** The engine was away. */
  away: boolean;
  /** The container ended before it was back: what it printed at the very end may be nowhere. */
  endedMeanwhile: boolean;
  /** When it was first noticed, epoch milliseconds. */
  at: number;
}

export interface Reading {
  readonly context: StepContext;
  readonly container: StepContainer;
  readonly intake: Intake;
  readonly absence: Absence;
  /** The engine is back. */
  readonly onBack: () => void;
  /** Ends the reading: it fails then. */
  readonly signal: AbortSignal;
}

/** `pieces`: of the attachment; undefined: the container was started by another process. */
export async function readAll(reading: Reading, pieces: AsyncIterable<Piece> | undefined): Promise<void> {
  const { intake, signal } = reading;
  for (let [source, broken] = [pieces, 0]; ; source = undefined) {
    source ??= await fromTheBeginning(reading);
    if (source === undefined || (await readOne(source, intake)) === 'ended') return;
    signal.throwIfAborted();
    intake.rewind();
    if (++broken > 1) await pause(AGAIN_PAUSE_MS, signal);
  }
}

/** Fails when what was read cannot be kept; an engine that goes away is an answer. */
async function readOne(pieces: AsyncIterable<Piece>, intake: Intake): Promise<'ended' | 'broken'> {
  const source = pieces[Symbol.asyncIterator]();
  for (;;) {
    const next = await nextOf(source);
    if (next === undefined) return 'broken';
    if (next.done === true) return 'ended';
    const room = intake.take(next.value);
    if (room !== undefined) await room;
  }
}

async function nextOf(source: AsyncIterator<Piece>): Promise<IteratorResult<Piece, unknown> | undefined> {
  try {
    return await source.next();
  } catch (error) {
    if (isAway(error)) return undefined;
    throw error;
  }
}

/** undefined: the container is gone. */
async function fromTheBeginning(reading: Reading): Promise<AsyncIterable<Piece> | undefined> {
  const { context, container, absence, onBack, signal } = reading;
  const { engine } = context.input;
  let away = false;
  const onAway = async (error: unknown) => {
    away = true;
    if (!absence.away) absence.at = context.input.now();
    absence.away = true;
    await sayAway(context, error);
  };
  try {
    const printed = await patiently(() => engine.printed(container.id, signal), signal, onAway);
    const report = await patiently(() => engine.exit(container.id), signal, onAway);
    if (away && report?.exitCode !== undefined) absence.endedMeanwhile = true;
    if (away) onBack();
    return printed;
  } catch (error) {
    if (isGantryError(error, 'container-gone')) return undefined;
    throw error;
  }
}
