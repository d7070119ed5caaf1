/** A link's own route: to the exporter's containers here while there are any, else to where other hosts offer it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { SILENT } from '../../src/log.ts';
import type { BackendReport } from '../../src/proxy/control/protocol.ts';
import { DataPlane } from '../../src/proxy/proxy.ts';
import {
  type Backend,
  DEFAULT_LIMITS,
  type Listener,
  linkRouteName,
  type RouteKind,
  type RouteTable,
} from '../../src/proxy/tables/routes.ts';
import {
  ask,
  dial,
  type Ground,
  ground,
  heard,
  OWNER,
  openOn,
  ownAddress,
  type TestBackend,
  until,
  untilIdle,
} from './ground.ts';
import { NO_KERNEL } from './memory-kernel.ts';

const SWAPS = 100;
const LINK = linkRouteName('db');

interface Wanted {
  /** Containers of `db` here; undefined: it has no route. */
  readonly here?: readonly TestBackend[] | undefined;
  readonly elsewhere?: readonly Backend[];
  readonly kind?: RouteKind;
}

/** Component `db` at the ground's port and its link at the next one. */
function tableFor(g: Ground, { here, elsewhere = [], kind = 'http' }: Wanted): RouteTable {
  const listener = (port: number): Listener => ({
    address: g.address,
    port,
    kind,
    containerPort: g.containerPort,
  });
  const link = { component: LINK, listeners: [listener(g.port + 1)], backends: elsewhere, via: 'db' };
  const backends = (here ?? []).map(({ id, host }) => ({ id, host }));
  const own = { component: 'db', listeners: [listener(g.port)], backends };
  return { routes: here === undefined ? [link] : [link, own], limits: DEFAULT_LIMITS };
}

async function put(g: Ground, wanted: Wanted): Promise<void> {
  const table = tableFor(g, wanted);
  await g.plane.put(OWNER, { ifRevision: g.plane.table(OWNER).revision, table });
}

function linkUrl(g: Ground): string {
  return `http://${g.address}:${g.port + 1}`;
}

function reports(g: Ground): Pick<BackendReport, 'component' | 'id' | 'routed' | 'open'>[] {
  return g.plane
    .status()
    .backends.map(({ component, id, routed, open }) => ({ component, id, routed, open }));
}

interface Remote extends Backend {
  readonly port: number;
  readonly close: () => Promise<unknown>;
  /** Again at the same place. */
  readonly open: () => Promise<void>;
}

/** Another host's proxy, as far as a client of it can tell. */
async function remote(
  g: Ground,
  host: string,
  undo: (step: () => unknown) => void,
  answer: http.RequestListener,
): Promise<Remote> {
  const address = ownAddress();
  const port = g.containerPort + 5;
  const server = http.createServer(answer);
  const open = () => new Promise<void>((resolve) => server.listen(port, address, resolve));
  const close = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  undo(close);
  await open();
  return { id: `${LINK}@${host}`, host: address, port, open, close };
}

function offer({ id, host, port }: Remote): Backend {
  return { id, host, port };
}

const says = (text: string) => (_: unknown, res: http.ServerResponse) => void res.end(text);

for (const kind of ['http', 'tcp'] as const) {
  test(`${SWAPS} swaps of the exporter lose nothing of what comes by its ${kind} link`, async (t) => {
    const g = await ground(t);
    const [a, b] = [await g.http('a', says('a')), await g.http('b', says('b'))];
    const away = await remote(g, 'other', (step) => t.after(step), says('elsewhere'));
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    let swaps = 0;
    let swapping = false;
    let leads = 'a';
    const swap = async (here: TestBackend) => {
      swapping = true;
      await put(g, { here: [here], elsewhere: [offer(away)], kind });
      leads = here.id;
      swaps += 1;
      swapping = false;
    };
    await swap(a);
    const wrong: string[] = [];
    let done = 0;
    let running = true;
    const client = async (how: { agent?: http.Agent }) => {
      while (running) {
        const [before, during] = [swaps, swapping];
        const said = await ask(linkUrl(g), how).then(
          ({ status, body }) => (status === 200 ? body : String(status)),
          String,
        );
        const settled = !during && !swapping && before === swaps && how.agent === undefined;
        if (settled ? said !== leads : said !== 'a' && said !== 'b') wrong.push(`${said} for ${leads}`);
        done += 1;
      }
    };
    const clients = [client({}), client({}), client({ agent }), client({ agent })];
    for (let i = 0; i < SWAPS; i++) {
      await swap(i % 2 === 0 ? b : a);
      const since = done;
      await until('the load went on', () => done > since + clients.length);
    }
    running = false;
    await Promise.all(clients);
    assert.deepEqual(wrong, []);
    agent.destroy();
    await untilIdle(g.plane);
  });
}

test('a keep-alive client moves to another host when nothing serves here, and back, on one connection', async (t) => {
  const g = await ground(t);
  const here = await g.http('here', says('here'));
  const away = await remote(g, 'other', (step) => t.after(step), says('elsewhere'));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const answers: string[] = [];
  for (const containers of [[here], [], [here], undefined, [here]]) {
    await put(g, { here: containers, elsewhere: [offer(away)] });
    answers.push((await ask(linkUrl(g), { agent })).body);
    const to = containers === undefined || containers.length === 0 ? away.id : 'here';
    assert.deepEqual(
      reports(g).map(({ id, routed }) => [id, routed]),
      [[to, true]],
    );
  }
  assert.deepEqual(answers, ['here', 'elsewhere', 'here', 'elsewhere', 'here']);
  const link = g.plane.status().listeners.find((listener) => listener.component === LINK);
  assert.equal(link?.connections, 1);
});

test('tcp connections stay where they are, and new ones go where the link leads now', async (t) => {
  const g = await ground(t);
  const echo = (name: string) => (socket: net.Socket) => {
    socket.on('data', (chunk) => socket.write(`${name} ${chunk}`));
    socket.on('end', () => socket.end());
  };
  const here = await g.tcp('here', echo('here'));
  const server = net.createServer(echo('elsewhere'));
  const host = ownAddress();
  await new Promise<void>((resolve) => server.listen(g.containerPort + 5, host, resolve));
  t.after(() => server.close());
  const elsewhere = [{ id: `${LINK}@other`, host, port: g.containerPort + 5 }];
  const exchange = async (client: net.Socket, text: string) => {
    client.write(text);
    return String((await once(client, 'data'))[0]);
  };
  await put(g, { here: [here], elsewhere, kind: 'tcp' });
  const old = await dial(g.address, g.port + 1);
  assert.equal(await exchange(old, '1'), 'here 1');
  await put(g, { here: [], elsewhere, kind: 'tcp' });
  const next = await dial(g.address, g.port + 1);
  assert.equal(await exchange(next, '2'), 'elsewhere 2');
  assert.equal(await exchange(old, '3'), 'here 3');
  assert.deepEqual(reports(g), [
    { component: 'db', id: 'here', routed: false, open: 1 },
    { component: LINK, id: `${LINK}@other`, routed: true, open: 1 },
  ]);
  old.destroy();
  next.destroy();
  await untilIdle(g.plane);
});

test('a container behind its own ports and a link is one, with all that it carries', async (t) => {
  const g = await ground(t);
  const held: http.ServerResponse[] = [];
  const db = await g.http('db-1', (_req, res) => {
    held.push(res);
    res.write('held ');
  });
  await put(g, { here: [db] });
  const idle: unknown[] = [];
  t.after(g.plane.subscribe((_, change) => change.kind === 'idle' && idle.push(change.backend)));
  const answers = [g.url, linkUrl(g), linkUrl(g)].map((url) => ask(url));
  await until('all are under way', () => held.length === 3);
  assert.deepEqual(reports(g), [{ component: 'db', id: 'db-1', routed: true, open: 3 }]);
  await put(g, { here: undefined });
  assert.deepEqual(reports(g), [{ component: 'db', id: 'db-1', routed: false, open: 3 }]);
  const [direct, ...linked] = held;
  direct?.end('on');
  await until('one is over', () => openOn(g.plane, 'db-1') === 2);
  assert.deepEqual(idle, [], 'the link still holds it');
  for (const res of linked) res.end('on');
  for (const answer of answers) assert.equal((await answer).body, 'held on');
  await until('its end is told', () => idle.length > 0);
  assert.deepEqual([idle, reports(g)], [['db-1'], []]);
});

test('a link that leads nowhere answers as a route without backends does', async (t) => {
  const g = await ground(t);
  const db = await g.http('db-1', says('here'));
  for (const here of [[], undefined]) {
    await put(g, { here: [db] });
    assert.equal((await ask(linkUrl(g))).body, 'here');
    await put(g, { here });
    const { status, headers } = await ask(linkUrl(g));
    assert.deepEqual([status, headers['retry-after']], [503, '1']);
  }
  await put(g, { kind: 'tcp' });
  const client = await dial(g.address, g.port + 1);
  const { closed } = heard(client);
  client.on('end', () => client.end());
  await until('it is closed', closed);
});

test('a host that refuses costs no request while another one offers the link', async (t) => {
  const g = await ground(t);
  const undo = (step: () => unknown) => t.after(step);
  const [one, two] = [await remote(g, 'one', undo, says('one')), await remote(g, 'two', undo, says('two'))];
  await put(g, { elsewhere: [one, two].map(offer) });
  const asked = async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => ask(linkUrl(g), { method: 'POST', body: 'x' })));
    return [...new Set(answers.map(({ body }) => body))].sort();
  };
  assert.deepEqual(await asked(), ['one', 'two']);
  await one.close();
  assert.deepEqual(await asked(), ['two']);
  await two.close();
  await one.open();
  assert.deepEqual(await asked(), ['one']);
});

test('a host that offers the link at another place gets nothing at the old one', async (t) => {
  const g = await ground(t);
  let slow: http.ServerResponse | undefined;
  const undo = (step: () => unknown) => t.after(step);
  const before = await remote(g, 'other', undo, (_req, res) => {
    if (slow === undefined) slow = res;
    else res.end('before');
  });
  const now = await remote(g, 'other', undo, says('now'));
  await put(g, { elsewhere: [offer(before)] });
  const answer = ask(linkUrl(g));
  await until('it is under way', () => slow !== undefined);
  await put(g, { elsewhere: [offer(now)] });
  slow?.end('before');
  assert.equal((await answer).body, 'before');
  await untilIdle(g.plane);
  for (let i = 0; i < 3; i++) assert.equal((await ask(linkUrl(g))).body, 'now');
});

test("a port that goes over from a component to a link's route is not closed on the way", async (t) => {
  const g = await ground(t);
  const db = await g.http('db-1', says('here'));
  const joined = tableFor(g, { here: [db] });
  const listeners = joined.routes.flatMap((route) => route.listeners);
  const apart = { ...joined, routes: joined.routes.slice(1).map((route) => ({ ...route, listeners })) };
  const swap = (table: RouteTable) =>
    g.plane.put(OWNER, { ifRevision: g.plane.table(OWNER).revision, table });
  await swap(apart);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (const table of [joined, apart, joined]) {
    assert.equal((await ask(linkUrl(g), { agent })).body, 'here');
    await swap(table);
    assert.equal((await ask(linkUrl(g), { agent })).body, 'here');
  }
  const link = g.plane.status().listeners.find((listener) => listener.component === LINK);
  assert.deepEqual([link?.port, link?.connections], [g.port + 1, 1]);
});

test('a link comes back from disk with both of its ways, and its port is refused by its name', async (t) => {
  const g = await ground(t);
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-links-'));
  t.after(() => rm(folder, { recursive: true }));
  const here = await g.http('here', says('here'));
  const away = await remote(g, 'other', (step) => t.after(step), says('elsewhere'));
  const options = { tablesPath: join(folder, 'tables.json'), log: SILENT, ...NO_KERNEL };
  const planes = [new DataPlane(options), new DataPlane(options)];
  const [first, second] = planes as [DataPlane, DataPlane];
  t.after(() => Promise.all(planes.map((plane) => plane.close())));
  await first.start();
  const table = tableFor(g, { here: [here], elsewhere: [offer(away)] });
  const { revision } = await first.put(OWNER, { ifRevision: 0, table });
  await first.close();
  await second.start();
  assert.deepEqual(second.table(OWNER), { owner: OWNER, revision, table });
  assert.equal((await ask(linkUrl(g))).body, 'here');
  const dry = { ifRevision: revision, table: tableFor(g, { elsewhere: [offer(away)] }), dryRun: true };
  await second.put(OWNER, dry);
  assert.equal((await ask(linkUrl(g))).body, 'here');
  await second.put(OWNER, { ...dry, dryRun: false });
  assert.equal((await ask(linkUrl(g))).body, 'elsewhere');
  await assert.rejects(
    second.put('blog', { ifRevision: 0, table }),
    (error) => isGantryError(error, 'port-taken') && error.message.endsWith(`which ${OWNER}/${LINK} has`),
  );
});
