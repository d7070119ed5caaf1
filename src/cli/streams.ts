/** The two streams a command tells its caller by, and the end of its process. */
import type { Writable } from 'node:stream';
import { codeOf, messageOf } from '../errors.ts';

/** Those of this process, or of a command that is carried out for another one. */
export interface Streams {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** A reader that went away, or a terminal that was closed: nobody is there to be told. */
const NOBODY_READS = new Set(['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED']);

let watched: (() => boolean) | undefined;

/**
 * Output that cannot be written must not end a command that is changing something. Answers whether any was lost (a
 * full disk) that somebody would have read; that is told on stderr.
 */
export function watchStreams(): () => boolean {
  watched ??= watch();
  return watched;
}

function watch(): () => boolean {
  let lost = false;
  process.stderr.on('error', () => undefined); // nowhere left to tell it
  process.stdout.on('error', (error) => {
    if (lost || NOBODY_READS.has(codeOf(error))) return;
    lost = true;
    process.stderr.write(`Error: the output could not be written: ${messageOf(error)}\n`);
  });
  return () => lost;
}

/** Whatever a library left open must not keep a finished command alive. */
export function endProcess(exitCode: number, lost: () => boolean): void {
  process.exitCode = exitCode;
  // Output that is lost is told a tick after its write.
  process.stdout.write('', () => setImmediate(() => process.exit(process.exitCode || (lost() ? 1 : 0))));
}
