/**
 * Section `crowd`: memory of each front with thousands of connections on which nothing happens after one request. Each
 * in a process of its own that did nothing before; what the kernel holds for a connection is in none of them.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../fronts.mjs';
import { maxConnections } from './configs.mjs';
import { HTTP_FRONTS, startGantryd, startProgram, TCP_FRONTS } from './fronts.mjs';
import { mostFiles, openGround, scriptPath } from './ground.mjs';
import { HAPROXY_TCP, OURS } from './names.mjs';

/** Each client has a connection to the backend as well. */
const RELAYS = [HAPROXY_TCP, OURS.tcp];
const SETTLE_MS = 1_000;
const OPEN_MS = 60_000;

export async function measureCrowd(ends, { connections: wanted, say }) {
  const ground = await openGround(ends);
  const container = await ground.container('web');
  const fronts = [];
  for (const name of [...HTTP_FRONTS, ...TCP_FRONTS]) {
    const connections = Math.min(wanted, maxConnections(mostFiles(), RELAYS.includes(name) ? 2 : 1));
    const looked = await lookAt(ground, ends, name, container, connections).catch(({ message }) => ({
      failure: message.trim().split('\n').slice(-2).join(' '),
    }));
    if (looked.failure !== undefined) say(`${name}: ${looked.failure}`);
    fronts.push({ front: name, connections, ...looked });
  }
  if (fronts.some(({ connections }) => connections < wanted))
    ground.notes.push(
      `a relay has two files open for each connection, and a process may have no more than ${mostFiles()} here, which root may not raise on this machine`,
    );
  return { notes: ground.notes, fronts };
}

async function lookAt(ground, ends, name, container, connections) {
  const front = await start(ground, ends, name, container);
  try {
    await sleep(SETTLE_MS);
    const before = memoryOf(front.pid);
    const words = [front.hostFor('remote'), front.port, connections].map(String);
    const crowd = ground.start('the clients', [
      ...ground.at('remote'),
      ...[process.execPath, scriptPath('hold.mjs'), ...words],
    ]);
    try {
      const opened = await until(() => crowd.said.includes('open') || !crowd.isAlive(), OPEN_MS);
      if (!opened || !crowd.isAlive()) throw new Error(`not all connections could be opened: ${crowd.said}`);
      await sleep(SETTLE_MS);
      const during = memoryOf(front.pid);
      crowd.child.stdin.write('count\n');
      await until(() => /left \d+/.test(crowd.said), OPEN_MS);
      return { before, during, left: Number(/left (\d+)/.exec(crowd.said)?.[1]) };
    } finally {
      await crowd.close();
    }
  } finally {
    await front.close();
  }
}

async function start(ground, ends, name, container) {
  if (!Object.values(OURS).includes(name)) return startProgram(ground, name, container);
  return (await startGantryd(ground, ends)).lead(name, container);
}

/** MB of 10^6 bytes. */
function memoryOf(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = (field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return { rssMb: (kib('Rss') * 1_024) / 1e6, pssMb: (kib('Pss') * 1_024) / 1e6 };
}
