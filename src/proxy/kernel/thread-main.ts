/** The thread of the kernel plane: does what the proxy asks for, and tells what happens by itself. Started by thread.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Log } from '../../log.ts';
import { openKernelPlane } from './open.ts';
import type { KernelPlane } from './plane.ts';
import { type FromThread, failureOf, type ToThread } from './thread-words.ts';

const told = (level: keyof Log) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
  tell({ kind: 'log', level, message, fields });
};
const log: Log = { debug: told('debug'), info: told('info'), warn: told('warn'), error: told('error') };
const plane = openKernelPlane({
  stateDir: workerData.stateDir,
  log,
  events: {
    targetDead(target) {
      tell({ kind: 'dead', target });
    },
    targetGone(target) {
      tell({ kind: 'gone', target });
    },
    restored(missing, error) {
      tell({ kind: 'restored', missing, why: error?.message });
    },
  },
});

parentPort?.on('message', (asked: ToThread) => void answer(asked));

async function answer(asked: ToThread): Promise<void> {
  const { id } = asked;
  try {
    tell({ kind: 'answer', id, answer: await done(asked) });
  } catch (error) {
    tell({ kind: 'failure', id, failure: failureOf(error) });
  }
}

function done({ name, args }: ToThread): Promise<unknown> {
  const call = plane[name] as (...args: readonly unknown[]) => ReturnType<KernelPlane[typeof name]>;
  return call.apply(plane, [...args]);
}

function tell(words: FromThread): void {
  parentPort?.postMessage(words);
}
