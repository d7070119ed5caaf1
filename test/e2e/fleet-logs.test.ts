/** What the containers of a component print is told from all hosts, once each, also while they are replaced. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '../ground/harness.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { type Event, exitedWith, jsonLines } from './shop.ts';

/** Counts on stdout, and each tenth on stderr, until it is told to end. */
const COUNTS = `
  let count = 0;
  const say = () => {
    count += 1;
    console.log(process.env.VERSION + ' ' + count);
    if (count % 10 === 0) console.error('tenth ' + count);
  };
  say();
  setInterval(say, 20);
  process.on('SIGTERM', () => process.exit(0));
`;
const WEB = { command: ['/bin/node', '-e', COUNTS], ports: [], readyChecks: [] };

describe('logs of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
  });
  after(() => endings.run());

  test('are followed on a host that joins, and over an update: of all containers, once each', async () => {
    await shop.agent('a');
    await shop.deploy('v1', WEB);
    const following = shop.begin('logs', '-c', 'web', '-f');
    const counted = (host: string, text: string) =>
      numbersOf(following.events(), host, text).length > 0 && `${host} ${text}`;
    const comes = (text: string) =>
      until(() => counted('a', text) && counted('b', text), { timeoutMs: WAIT_MS, what: text });
    await until(() => counted('a', 'v1'), { timeoutMs: WAIT_MS, what: 'a v1' });
    await shop.agent('b', '--no-jobs');
    await comes('v1');
    await shop.deploy('v2', WEB);
    await comes('v2');
    for (const host of ['a', 'b'])
      for (const version of ['v1', 'v2']) {
        const numbers = numbersOf(following.events(), host, version);
        const all = Array.from(numbers, (_, index) => index + 1);
        assert.deepEqual(numbers, all, `${version} on ${host}`);
      }
    following.signal('SIGINT');
    exitedWith(0, await following.ended);

    const [words, told, strange] = await Promise.all([
      shop.must('logs', '-c', 'web', '--tail', '3'),
      shop.must('logs', '-c', 'web', '--host', 'b', '--since', '1h', '--json'),
      shop.gantryd('logs', '-c', 'web', '--host', 'alpha'),
    ]);
    for (const host of ['a', 'b']) assert.match(words, new RegExp(`^${host}/[0-9a-f]{12} \\| v2 \\d+$`, 'm'));
    const lines = jsonLines(told);
    const times = lines.map(({ time }) => String(time));
    assert.deepEqual(times, [...times].sort());
    assert.ok(lines.some(({ stream, text }) => stream === 'stderr' && text === 'tenth 10'));
    assert.deepEqual([...new Set(lines.map(({ host }) => host))], ['b']);
    exitedWith(2, strange);
    assert.match(strange.stderr, /web runs on no live host alpha\n.*It runs on: a, b\./);
  });
});

function numbersOf(events: readonly Event[], host: string, version: string): readonly number[] {
  const own = events.filter((e) => e.host === host && String(e.text).startsWith(`${version} `));
  return own.map((e) => Number(String(e.text).split(' ')[1]));
}
