import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { KernelEntry, KernelFlow, KernelTarget } from '../../../src/proxy/kernel/plane.ts';
import { until } from '../ground.ts';
import { Actor, BRIDGE, type Container, HOST, Host, SERVICE } from './ground.ts';

const PORT = 7000;
let host: Host;
let one: Container;
let two: Container;

before(async () => {
  host = await Host.open();
  [one, two] = [await host.container('one'), await host.container('two')];
});

after(() => host.close());

function entry(targets: readonly KernelTarget[], more: Partial<KernelEntry> = {}): KernelEntry {
  return { protocol: 'tcp', address: '0.0.0.0', port: PORT, targets, ...more };
}

const apply = (...entries: KernelEntry[]) => host.keeper.do('apply', entries);
/** Until the plane has told just these. */
async function told(...events: string[]): Promise<void> {
  const heard: string[] = [];
  await until(`it tells ${events}`, async () => {
    heard.push(...(await host.keeper.do('events')));
    return heard.length >= events.length;
  });
  assert.deepEqual(heard.sort(), events);
}

/** The policy SCHED_FIFO, as sched(7) numbers it; the 41st field of proc_pid_stat(5). */
const FIFO = 1;
function policyOf(path: string): number {
  const text = readFileSync(path, 'latin1');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[38]);
}

/** An nft that once, where there is a file, does nothing of a change, and does not say so. */
function forgetful(nft: string, file: string): string {
  return `#!/bin/sh
case "$*" in *-i*) ;; *) exec ${nft} "$@" ;; esac
while IFS= read -r line; do
  case "$line" in include*) if [ -e ${file} ]; then rm ${file}; continue; fi ;; esac
  printf '%s\\n' "$line"
done | ${nft} "$@"
`;
}

const over6 = ({ target, ip6 }: Container): KernelTarget => ({ ...target, host: ip6 });

test('this host can', async () => {
  assert.deepEqual(await host.keeper.do('ability', 'udp'), { can: true });
});

test('a remote client, one on 127.0.0.1 and one in another container are led to the container', async () => {
  await apply(entry([one.target]));
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  assert.equal(await host.local.do('ask', '127.0.0.1', PORT), 'one');
  assert.equal(await host.local.do('ask', HOST.ip4, PORT), 'one');
  assert.equal(await two.actor.do('ask', '172.30.0.1', PORT), 'one');
  assert.equal(await two.actor.do('ask', HOST.ip4, PORT), 'one');
});

test('a container that comes to its own place finds the socket: its bridge does not send packets back', async () => {
  const port = await host.local.do('serve', 'the door', 0);
  await apply(entry([one.target, over6(one)], { port, address: '::' }));
  assert.equal(await one.actor.do('ask', HOST.ip4, port), 'the door');
  assert.equal(await one.actor.do('ask', HOST.ip6, port), 'the door');
});

test('only the address that was asked for is led', async () => {
  await apply(entry([one.target], { address: HOST.ip4 }));
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  assert.equal(await host.local.do('ask', '127.0.0.1', PORT), 'ECONNREFUSED');
  assert.equal(await two.actor.do('ask', '172.30.0.1', PORT), 'ECONNREFUSED');
});

test('a place of both kinds of addresses leads IPv6 to IPv6', async () => {
  await apply(entry([one.target, over6(two)], { address: '::' }));
  assert.equal(await host.remote.do('ask', HOST.ip6, PORT), 'two');
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  assert.equal(await one.actor.do('ask', 'fd00:30::1', PORT), 'two');
  assert.equal(await host.local.do('ask', '::1', PORT), 'ECONNREFUSED', 'which is for the socket');
});

test('where there is no target a socket of the host answers', async () => {
  const port = await host.local.do('serve', 'the door', 0);
  await apply(entry([one.target], { port }));
  assert.equal(await host.remote.do('ask', HOST.ip4, port), 'one');
  await apply(entry([], { port }));
  assert.equal(await host.remote.do('ask', HOST.ip4, port), 'the door');
});

test('new connections are shared by weight', async () => {
  await apply(entry([{ ...one.target, weight: 3 }, two.target]));
  const answers: Record<string, number> = {};
  for (let i = 0; i < 200; i++) {
    const answer = await host.remote.do('ask', HOST.ip4, PORT);
    answers[answer] = (answers[answer] ?? 0) + 1;
  }
  const { one: ones = 0, two: twos = 0 } = answers;
  assert.equal(ones + twos, 200, JSON.stringify(answers));
  // 50 are expected, and the standard deviation is 6: this is wrong once in a million million runs.
  assert.ok(twos > 5 && twos < 95, `${twos} of 200`);
});

test('what is open stays where it is while new connections go elsewhere, and both are counted', async () => {
  await apply(entry([one.target]));
  assert.equal(await host.remote.do('hold', 1, HOST.ip4, PORT), 'one');
  assert.equal(await host.local.do('hold', 1, '127.0.0.1', PORT), 'one');
  await apply(entry([two.target]));
  assert.equal(await host.remote.do('hold', 2, HOST.ip4, PORT), 'two');
  assert.equal(await host.remote.do('say', 1, 'still there?'), 'still there?');
  assert.equal(await host.local.do('say', 1, 'you too?'), 'you too?');
  const counted = async () => {
    const flows = await host.keeper.do('flows');
    const ours = flows.filter(({ listenerPort }) => listenerPort === PORT);
    return ours.map(({ host: to, port, client }) => `${client.split(':')[0]} ${to}:${port}`).sort();
  };
  // Those of the tests before may be about to close.
  await until('three are counted', async () => (await counted()).length === 3);
  const led = await counted();
  assert.deepEqual(led, [
    `127.0.0.1 ${one.ip4}:${SERVICE}`,
    `198.51.100.2 ${one.ip4}:${SERVICE}`,
    `198.51.100.2 ${two.ip4}:${SERVICE}`,
  ]);
});

test('an end is seen by the client and by the container, of those that were named', async () => {
  const flows = await host.keeper.do('flows');
  const ofOne = flows.filter(({ host: to }) => to === one.ip4);
  assert.equal(await one.actor.do('established'), 2);
  assert.equal(await host.keeper.do('end', ofOne, one.actor.pid), 2);
  assert.equal(await host.remote.do('ended', 1), 'ECONNRESET');
  assert.equal(await host.local.do('ended', 1), 'ECONNRESET');
  assert.equal(await one.actor.do('established'), 0);
  assert.equal(await host.keeper.do('end', ofOne, one.actor.pid), 0, 'they have ended already');
  assert.equal(await host.remote.do('say', 2, 'and you?'), 'and you?');
  await host.remote.do('drop', 2);
});

test('a connection that has ended is not counted any more', async () => {
  await until('nothing is open', async () => (await host.keeper.do('flows')).length === 0);
});

test('what ends by itself while it is to be ended keeps nothing else from its end', async () => {
  await track('192.0.2.9', 1_000);
  const target = { protocol: 'udp', host: '192.0.2.9', port: 53 } as const;
  const [some = 0, others = 0] = await host.keeper.do('forgetTwice', target);
  assert.equal(some + others, 1_000);
});

test('all that a target has is ended at once, a part of it one by one, and others stay', async () => {
  await track('192.0.2.9', 300);
  await track('192.0.2.10', 3);
  const flows = await host.keeper.do('flows');
  const [last, ...rest] = flows.filter(({ host: to }) => to === '192.0.2.10');
  const all = flows.filter(({ host: to }) => to === '192.0.2.9');
  assert.equal(await host.keeper.do('end', [...all, ...rest], undefined), 302);
  assert.deepEqual(await host.keeper.do('flows'), [last]);
  assert.equal(await host.keeper.do('end', [last as KernelFlow], undefined), 1);
});

/** So many exchanges with a place that nobody is at, as if we had led them there. */
async function track(address: string, count: number): Promise<void> {
  const file = join(host.stateDir, 'entries');
  const port = 1_000 + 10_000 * Number(address.endsWith('0'));
  const there = (n: number) => `--src 10.9.0.${n >> 8} --dst 192.0.2.1 --sport ${port + n} --dport 53`;
  const back = (n: number) =>
    `--reply-src ${address} --reply-dst 10.9.0.${n >> 8} --reply-port-src 53 --reply-port-dst ${port + n}`;
  const line = (n: number) => `-I -p udp ${there(n)} ${back(n)} -t 60 -m 0x10000000\n`;
  await writeFile(file, Array.from({ length: count }, (_, n) => line(n + 256)).join(''));
  await host.local.run('conntrack', '-R', file);
}

test('datagrams are led, and go elsewhere when their exchange is ended', async () => {
  assert.deepEqual(await host.remote.do('askDatagrams', HOST.ip4, PORT, 1, 200), ['']);
  await apply(entry([one.target], { protocol: 'udp' }));
  assert.deepEqual(await host.remote.do('askDatagrams', HOST.ip4, PORT, 2, 2000), ['one', 'one']);
  assert.deepEqual(await host.local.do('askDatagrams', '127.0.0.1', PORT, 1, 2000), ['one']);
  const flows = await host.keeper.do('flows');
  assert.deepEqual([...new Set(flows.map(({ protocol }) => protocol))], ['udp']);
  assert.equal(await host.keeper.do('end', flows, one.actor.pid), flows.length);
  assert.deepEqual(await host.keeper.do('flows'), []);
});

test('a hundred switches under load fail no connection', async () => {
  const ways = [[entry([one.target])], [entry([two.target])]];
  await apply(entry([one.target]));
  await host.remote.do('loadStart', HOST.ip4, PORT, 4);
  await host.local.do('loadStart', '127.0.0.1', PORT, 4);
  const times = (await host.keeper.do('switches', ways, 100, 10)).sort((a, b) => a - b);
  const counts = [await host.remote.do('loadStop'), await host.local.do('loadStop')];
  for (const found of counts) {
    assert.deepEqual(Object.keys(found).sort(), ['one', 'two'], JSON.stringify(found));
  }
  if (process.env.GANTRYD_TELL) console.log('switch ms', times[49], times[98], JSON.stringify(counts));
});

test('what is asked for again is not written again, and the table is known for the one that was written', async () => {
  const ways = [entry([one.target]), entry([one.target]), entry([two.target]), entry([two.target])];
  const seen = await host.keeper.do(
    'writes',
    ways.map((way) => [way]),
  );
  assert.deepEqual(seen, [
    [true, 'there'],
    [false, 'there'],
    [true, 'there'],
    [false, 'there'],
  ]);
});

test('rules that somebody flushes are back within five seconds', async () => {
  await apply(entry([one.target]));
  await host.keeper.do('events');
  await host.local.run('nft', 'flush', 'ruleset');
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'ECONNREFUSED');
  await until('it is led again', async () => (await host.remote.do('ask', HOST.ip4, PORT)) === 'one', 5_000);
  await told('restored the table');
});

test('rules of an earlier moment that somebody puts back do not stay', async () => {
  await apply(entry([one.target]));
  const backup = join(host.stateDir, 'backup.nft');
  await writeFile(backup, `flush ruleset\n${await host.local.run('nft', 'list', 'ruleset')}`);
  await apply(entry([two.target]));
  await host.keeper.do('events');
  await host.local.run('nft', '-f', backup);
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  await until('it is led again', async () => (await host.remote.do('ask', HOST.ip4, PORT)) === 'two', 5_000);
  await told('restored the table');
});

test('traffic flows when the keeper is killed, and the next one takes over what it left', async () => {
  await apply(entry([one.target]), entry([one.target], { port: 7001 }));
  await host.keeper.kill();
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  await host.newKeeper();
  await apply(entry([two.target]));
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'two');
  assert.equal(await host.remote.do('ask', HOST.ip4, 7001), 'ECONNREFUSED');
});

test('a container that is killed gets no new connections, and its place goes to the others or to nobody', async () => {
  const [doomed, last] = [await host.container('doomed'), await host.container('last')];
  await apply(entry([doomed.target, one.target]), entry([last.target], { port: 7001 }));
  await host.keeper.do('events');
  const started = performance.now();
  await Promise.all([doomed.actor.kill(), last.actor.kill()]);
  await told('gone doomed', 'gone last');
  if (process.env.GANTRYD_TELL) console.log('from kill -9 to another map, ms', performance.now() - started);
  assert.equal(await host.remote.do('ask', HOST.ip4, 7001), 'ECONNREFUSED');
  for (let i = 0; i < 20; i++) assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  await apply(entry([doomed.target, one.target]));
  for (let i = 0; i < 10; i++)
    assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one', 'asked for again');
});

test('a container that is killed leaves the map also while the keeper is busy', async () => {
  const doomed = await host.container('doomed too');
  await apply(entry([doomed.target]));
  const frozen = host.keeper.do('freeze', 1_500);
  await doomed.actor.kill();
  const answers: string[] = [];
  await until('nobody is led there', async () => {
    answers.push(await host.remote.do('ask', HOST.ip4, PORT));
    return answers.at(-1) === 'ECONNREFUSED';
  });
  assert.equal(await Promise.race([frozen, 'still busy']), 'still busy');
  await frozen;
});

test('nft runs ahead of the usual processes, and no thread of the keeper does', async (t) => {
  const allowed = await host.local.run('chrt', '--fifo', '1', 'true').catch(() => undefined);
  if (allowed === undefined) return t.skip('this host gives nobody a real-time priority');
  await apply(entry([one.target]));
  const { pid } = host.keeper;
  const threads = readdirSync(`/proc/${pid}/task`).map((id) => policyOf(`/proc/${pid}/task/${id}/stat`));
  assert.equal(threads.includes(FIFO), false);
  const children = (await host.local.run('pgrep', '--parent', `${pid}`, '^nft$')).trim().split('\n');
  assert.equal(children.length, 1);
  await until('it runs ahead', async () => policyOf(`/proc/${children[0]}/stat`) === FIFO);
});

test('an nft that has taken many lines is replaced, and a refusal keeps nobody waiting', async () => {
  const numbers = Array.from({ length: 6 }, (_, i) => i + 1);
  const texts = numbers.map((n) => `flush set inet t9 s; add element inet t9 s { ${n} }`);
  texts.splice(2, 0, 'add element inet t9 s { 9 }; add element inet t9 none { 9 }');
  const answers = await host.keeper.do('changes', texts, 10);
  const [refusal] = answers.splice(2, 1);
  assert.match(String(refusal?.said), /nft did not take the rules: Error: .*(none|No such file)/);
  assert.deepEqual(
    answers.map(({ said }) => Number(/elements = \{ (\w+) \}/.exec(said)?.[1])),
    numbers,
  );
  assert.equal(new Set(answers.map(({ pid }) => pid)).size, 2);
});

test('what a dying container says last still reaches its clients', async () => {
  const [dying, first] = [await host.container('dying'), await Actor.start()];
  await apply(entry([{ ...dying.target, pid: first.pid }]));
  assert.equal(await host.remote.do('hold', 9, HOST.ip4, PORT), 'dying');
  await host.keeper.do('events');
  await first.kill();
  await told('gone dying');
  await apply(entry([one.target]));
  await dying.actor.kill();
  assert.match(await host.remote.do('ended', 9), /closed|ECONNRESET/);
});

test('whom a dying container has reset may come again from the same port', async () => {
  const [led, left] = [await host.container('led'), await host.container('left')];
  for (const [id, { actor, target }] of [led, left].entries()) {
    const localPort = 4_000 + id;
    await apply(entry([target]));
    await host.remote.do('hold', 20 + id, HOST.ip4, PORT, localPort);
    if (actor === left.actor) await apply(entry([one.target]));
    await resetByDeath(actor, 20 + id);
    await apply(entry([one.target]));
    await until('it is forgotten', async () => !(await tracked(target.host)).includes(`sport=${localPort} `));
    assert.equal(await host.remote.do('ask', HOST.ip4, PORT, localPort), 'one');
  }
});

/** Who ends with words unread ends with a reset. */
async function resetByDeath(container: Actor, held: number): Promise<void> {
  process.kill(container.pid, 'SIGSTOP');
  const said = host.remote.do('say', held, 'unread');
  await until('it has not read', () => container.run('ss', '-Htn', 'src', `:${SERVICE}`).then(hasUnread));
  await container.kill();
  assert.equal(await said, 'ECONNRESET');
}

function hasUnread(sockets: string): boolean {
  return sockets.split('\n').some((line) => Number(line.trim().split(/\s+/)[1]) > 0);
}

/** What the host has of connections that are answered from there. */
async function tracked(address: string): Promise<string> {
  return host.local.run('conntrack', '-L', '--reply-src', address);
}

test('what is not an address is refused, and what was in force stays', async () => {
  await apply(entry([one.target]));
  const wrong = apply(entry([{ ...two.target, host: 'nowhere' }]));
  await assert.rejects(wrong, { code: 'proxy-failed', message: /nft did not take the rules/ });
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  await apply(entry([two.target]));
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'two');
});

test("Docker's FORWARD lets our connections pass, also when its rules were made anew; all else stays as it was", async () => {
  const { local } = host;
  await local.run('nft', 'add table ip theirs; add chain ip theirs c { type filter hook input priority 0; }');
  await host.keeper.do('purge');
  for (const rule of [
    '-N DOCKER-USER',
    '-A DOCKER-USER -j RETURN',
    '-A FORWARD -j DOCKER-USER',
    '-P FORWARD DROP',
  ])
    await local.run('iptables', ...rule.split(' '));
  const before = await local.run('nft', '-s', 'list', 'ruleset');
  await apply(entry([one.target]));
  assert.equal(await host.remote.do('ask', HOST.ip4, PORT), 'one');
  await host.keeper.do('events'); // of those that have died before
  await local.run('iptables', '-F', 'DOCKER-USER');
  await local.run('iptables', '-A', 'DOCKER-USER', '-j', 'RETURN');
  await until('it passes again', async () => (await host.remote.do('ask', HOST.ip4, PORT)) === 'one', 9_000);
  await told('restored the rule in DOCKER-USER');
  await host.keeper.do('purge');
  assert.equal(await local.run('nft', '-s', 'list', 'ruleset'), before);
});

test('a change that nft keeps silent about and does not make is seen at once, and made', async () => {
  const folder = await mkdtemp(join(host.stateDir, 'bin-'));
  const skips = join(folder, 'skips');
  const real = (await host.local.run('sh', '-c', 'command -v nft')).trim();
  await writeFile(join(folder, 'nft'), forgetful(real, skips), { mode: 0o755 });
  await host.keeper.do('close');
  await host.newKeeper(['env', `PATH=${folder}:${process.env.PATH}`]);
  await apply(entry([one.target]));
  await until('it is seen before the look that comes every two seconds', async () => {
    await apply(entry([one.target]));
    await host.keeper.do('events');
    await writeFile(skips, '');
    await apply(entry([two.target]));
    await until('it is led', async () => (await host.remote.do('ask', HOST.ip4, PORT)) === 'two', 5_000);
    await assert.rejects(readFile(skips), { code: 'ENOENT' }, 'the change was made');
    await apply(entry([two.target])); // behind a look, which tells of what it finds
    return (await host.keeper.do('events')).length === 0;
  });
});

test('a purge leaves nothing, whoever put it there', async () => {
  const setting = `net.ipv4.conf.${BRIDGE}.route_localnet`;
  await apply(entry([one.target]));
  assert.equal((await host.local.run('sysctl', '-n', setting)).trim(), '1');
  await host.keeper.do('close');
  await host.newKeeper();
  await host.keeper.do('purge');
  assert.equal((await host.local.run('sysctl', '-n', setting)).trim(), '0');
  assert.doesNotMatch(await host.local.run('nft', 'list', 'ruleset'), /gantryd_|0x10000000/);
  assert.doesNotMatch(await host.local.run('iptables', '-S'), /gantryd_/);
  await assert.rejects(readFile(`${host.stateDir}/kernel-plane.json`), { code: 'ENOENT' });
});
