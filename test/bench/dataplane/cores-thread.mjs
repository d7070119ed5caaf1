/** The other thread of cores.mjs: on its own core it gives each word back, while it is asked to. */
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const { words, cpu, SPINNING, TURN } = workerData;
const [, , thread] = readlinkSync('/proc/thread-self').split('/');
const { status, stderr } = spawnSync('taskset', ['-p', '-c', `${cpu}`, thread], { encoding: 'utf8' });
if (status !== 0) throw new Error(`cannot pin a thread to core ${cpu}: ${stderr}`);
parentPort.postMessage('ready');
for (;;) {
  Atomics.wait(words, SPINNING, 0);
  while (Atomics.load(words, SPINNING) === 1)
    if (Atomics.load(words, TURN) === 1) Atomics.store(words, TURN, 0);
}
