/**
 * Section `deaths`: the process of a container is killed while new connections come every millisecond, and its address
 * goes with it, so that nobody refuses them: until the kernel is told, each hangs. Counted is until when.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../fronts.mjs';
import { backendOf, routeOf, startGantryd } from './fronts.mjs';
import { openGround } from './ground.mjs';
import { OURS } from './names.mjs';

const PORT = 8400;
const HOST = '127.0.0.1';
const EVERY_MS = 1;
/** Longer than any answer takes, and less than the second after which a lost SYN is sent again. */
const HANGING_MS = 900;
const BEFORE_MS = 200;
const AFTER_MS = 1_000;
const LED_MS = 5_000;
const ASKED = 'GET /who HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n';

/** In turns alone, where new connections are refused then, and beside another, where they are moved. */
export async function measureDeaths(ends, { deaths, say }) {
  const ground = await openGround(ends);
  const gantryd = await startGantryd(ground, ends);
  const other = await ground.container('other');
  const results = [];
  for (let i = 0; i < deaths; i++) {
    const beside = i % 2 === 0 ? [] : [other];
    const victim = await ground.container(`victim-${i}`);
    await gantryd.put([routeOf(OURS.kernel, { port: PORT }, [victim, ...beside].map(backendOf))]);
    const death = await killed(victim, beside.length > 0);
    await victim.close();
    results.push(death);
    if (death.hung > 0 && death.untilMs > HANGING_MS / 2)
      say(`death ${i + 1}: ${Math.round(death.untilMs)} ms`);
  }
  return { notes: ground.notes, results, lookMs: AFTER_MS };
}

/** `untilMs`: from the kill until the last connection was begun that hung; 0 when none did. */
async function killed(victim, beside) {
  if (!(await until(async () => (await probe()).said === victim.name, LED_MS)))
    throw new Error(`nobody is led to ${victim.name}`);
  const probes = [];
  const going = new AbortController();
  const asking = askOn(probes, going.signal);
  await sleep(BEFORE_MS);
  const killedAt = performance.now();
  process.kill(victim.pid, 'SIGKILL');
  await sleep(AFTER_MS);
  going.abort();
  await asking;
  const after = (await Promise.all(probes)).filter(({ at }) => at >= killedAt);
  const hung = after.filter(({ said }) => said === 'hangs');
  const untilMs = Math.max(0, ...hung.map(({ at }) => at - killedAt));
  const moved = after.filter(({ said, at }) => said === 'other' && at > killedAt + untilMs).length;
  const refused = after.filter(({ said, at }) => said === 'refused' && at > killedAt + untilMs).length;
  return { beside, untilMs, hung: hung.length, probes: after.length, moved, refused };
}

async function askOn(probes, signal) {
  while (!signal.aborted) {
    probes.push(probe());
    await sleep(EVERY_MS);
  }
}

/** `said`: the name of who answered, `refused`, or `hangs`. */
function probe() {
  const at = performance.now();
  return new Promise((resolve) => {
    const socket = connect(PORT, HOST, () => socket.write(ASKED));
    const done = (said) => {
      clearTimeout(late);
      socket.destroy();
      resolve({ at, said });
    };
    // What has arrived while this process waited for a core is read first: that one did not hang.
    const late = setTimeout(() => setImmediate(done, 'hangs'), HANGING_MS);
    let text = '';
    socket.setEncoding('utf8').on('data', (part) => {
      text += part;
    });
    socket.once('error', () => done('refused'));
    socket.once('end', () => done(text.split('\r\n\r\n')[1]?.trim() || 'refused'));
  });
}
