import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { MOST_FRAMES } from '../../../src/api/events/event-hub.ts';
import { eventRoutes } from '../../../src/api/events/event-routes.ts';
import { auditWrite, tokenAuditWrite } from '../../../src/cluster/audit.ts';
import { type Keys, keys } from '../../../src/cluster/keys.ts';
import { timeId } from '../../../src/cluster/newest.ts';
import type { Write } from '../../../src/cluster/store.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { keptValue } from '../../../src/fleet/events/kept-events.ts';
import { until } from '../../docker/until.ts';
import { type Served, serve } from '../jobs/jobs-ground.ts';

const KEYS: Keys = keys();
const AT_KEYS = KEYS.project('shop');
const START = Date.parse('2030-01-01T00:00:00.000Z');
const idOf = (n: number) => timeId(START + n, `h1-${n}`);

function written(n: number, component = 'web', message = `no ${n}`): Write {
  const event: AgentEvent = { kind: 'trouble', code: 'internal', message, component, at: START + n };
  return { kind: 'put', key: AT_KEYS.event(idOf(n)), value: JSON.stringify(keptValue(event, 'h1')) };
}

function happens({ cluster }: Served, ...writes: readonly Write[]): void {
  cluster.commit([], writes);
}

/** What somebody hears who follows, block by block. */
async function following(t: TestContext, { url }: Served, path: string, last?: string) {
  const gone = new AbortController();
  t.after(() => gone.abort());
  const headers = last === undefined ? {} : { 'last-event-id': last };
  const answer = await fetch(`${url}${path}`, { headers, signal: gone.signal });
  const blocks: string[] = [];
  const ended = (async () => {
    let rest = '';
    for await (const chunk of answer.body ?? []) {
      const [...whole] = (rest + Buffer.from(chunk).toString('utf8')).split('\n\n');
      rest = whole.pop() ?? '';
      blocks.push(...whole);
    }
  })().catch(() => undefined);
  const ids = () => blocks.flatMap((block) => /^id: (.*)$/m.exec(block)?.[1] ?? []);
  const hears = (count: number) => until(`${count} events`, () => ids().length >= count, 5_000);
  await until('it follows', () => blocks.some((block) => block.includes(': follows')));
  return { answer, blocks, ids, hears, ended, leave: () => gone.abort() };
}

describe('GET /v1/projects/:project/events', () => {
  test('lists the newest, the oldest first, since a time and of a component', async (t) => {
    const served = await serve(t, eventRoutes);
    happens(served, written(1), written(2, 'db'), written(3));
    const ids = async (query: string) => {
      const { json } = await served.ask('GET', `/v1/projects/shop/events${query}`);
      return json.events.map(({ id }: { readonly id: string }) => id);
    };
    assert.deepEqual(await ids(''), [idOf(1), idOf(2), idOf(3)]);
    assert.deepEqual(await ids('?limit=1'), [idOf(3)]);
    assert.deepEqual(await ids('?component=db'), [idOf(2)]);
    assert.deepEqual(await ids('?since=2030-01-01T00:00:00.002Z'), [idOf(2), idOf(3)]);
    assert.equal((await served.ask('GET', '/v1/projects/shop/events?since=x')).status, 400);
    assert.equal((await served.ask('GET', '/v1/projects/shpo/events')).json.code, 'project-unknown');
  });

  test('has who asked for what where that is asked for', async (t) => {
    const served = await serve(t, eventRoutes);
    const asked = { by: 'ann@desk', action: 'scale', on: ['web'], detail: 'to 3', at: START, id: 'a' };
    happens(served, written(1), auditWrite(AT_KEYS, asked));
    happens(served, tokenAuditWrite(KEYS, { ...asked, action: 'token create', on: ['ci'], at: START + 5 }));
    const { json } = await served.ask('GET', '/v1/projects/shop/events?audit=true');
    const kinds = json.events.map(({ kind, action }: Record<string, string>) => action ?? kind);
    assert.deepEqual(kinds.slice(0, 2), ['scale', 'trouble']);
    const { id: _, ...row } = json.events[0];
    const { id: __, ...rest } = asked;
    assert.deepEqual(row, { ...rest, kind: 'asked', at: '2030-01-01T00:00:00.000Z' });
  });
});

describe('GET /v1/events', () => {
  test('tells what happens from now on, with id, kind and JSON', async (t) => {
    const served = await serve(t, eventRoutes);
    happens(served, written(1));
    const one = await following(t, served, '/v1/events?project=shop&component=web');
    assert.match(one.answer.headers.get('content-type') ?? '', /^text\/event-stream/);
    happens(served, written(2, 'db'), written(3));
    await one.hears(1);
    const [block = ''] = one.blocks.filter((text) => text.startsWith('id:'));
    const [id, kind, data = ''] = block.split('\n');
    assert.deepEqual([id, kind], [`id: ${idOf(3)}`, 'event: trouble']);
    const told = JSON.parse(data.slice('data: '.length));
    assert.deepEqual([told.id, told.text, told.component], [idOf(3), 'Trouble: no 3', 'web']);
    assert.equal((await served.ask('GET', '/v1/events')).status, 400);
  });

  test('goes on behind what somebody saw last, also with what was written late', async (t) => {
    const served = await serve(t, eventRoutes);
    happens(served, written(1));
    happens(served, written(9));
    // Of before, by a host that was cut off.
    happens(served, written(5));
    const one = await following(t, served, '/v1/events?project=shop', idOf(9));
    await one.hears(1);
    happens(served, written(10));
    await one.hears(2);
    assert.deepEqual(one.ids(), [idOf(5), idOf(10)]);
    const two = await following(t, served, `/v1/events?project=shop&after=${idOf(1)}`);
    await two.hears(3);
    assert.deepEqual(two.ids(), [idOf(9), idOf(5), idOf(10)]);
  });

  test('says so when some that came after it are gone', async (t) => {
    const served = await serve(t, eventRoutes);
    happens(served, written(5), written(6));
    const one = await following(t, served, '/v1/events?project=shop', idOf(1));
    await one.hears(2);
    assert.ok(one.blocks.some((block) => block === ': some that came after it are not kept any more'));
    const ahead = await following(t, served, '/v1/events?project=shop', idOf(10 ** 12)); // by a wrong clock
    await ahead.hears(2);
  });

  test('two hundred that follow share one mirror, and cost little', async (t) => {
    const served = await serve(t, eventRoutes);
    for (let n = 0; n < 1000; n += 100)
      happens(served, ...Array.from({ length: 100 }, (_, i) => written(n + i)));
    const before = memory();
    const all = await Promise.all(
      Array.from({ length: 200 }, () => following(t, served, '/v1/events?project=shop')),
    );
    assert.equal(served.cluster.watchers.size, 1);
    happens(served, written(1001));
    await Promise.all(all.map(({ hears }) => hears(1)));
    const cost = memory() - before;
    // Of both ends: those who follow are in this process too.
    t.diagnostic(`${Math.round(cost / 1e6)} MB`);
    assert.ok(cost < 60e6, `${Math.round(cost / 1e6)} MB`);
    for (const { leave } of all) leave();
    await until('nobody follows', () => served.cluster.watchers.size === 0);
  });

  test('who reads nothing is cut, and holds up nobody', async (t) => {
    const served = await serve(t, eventRoutes);
    const { port } = new URL(served.url);
    const slow = connect(Number(port), '127.0.0.1');
    const closed = new Promise((resolve) => slow.once('close', resolve));
    slow.on('error', () => undefined); // a reset is an end as well
    t.after(() => slow.destroy());
    slow.write('GET /v1/events?project=shop HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
    await until('it follows', () => served.cluster.watchers.size === 1);
    const quick = await following(t, served, '/v1/events?project=shop');
    slow.pause();
    const long = 'x'.repeat(900);
    let n = 0;
    // More than any buffer on the way takes, and then more than its place lasts.
    for (; n < 9 * MOST_FRAMES; n += 120) {
      happens(served, ...Array.from({ length: 120 }, (_, i) => written(n + i, 'web', long)));
      if (n % 480 === 360) await quick.hears(n + 120);
    }
    await quick.hears(n);
    slow.resume();
    await closed;
    assert.equal(quick.ids().length, n);
  });
});

function memory(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}
