/**
 * The campaign on one host: `npm run campaign -- --seed N --minutes M`. Random operators and faults on one gantryd under constant
 * load, for as long as wanted; the same seed draws the same operators. No part of the tests: it looks for what nobody
 * thought of. Ends with 1 when a request failed, a connection was cut or the end was not as one update leaves it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openShop, type Shop, version } from '../e2e/shop.ts';
import { freePort, until } from '../ground/harness.ts';
import { processesOf } from '../ground/sandbox.ts';
import { draw, type Field, HOST } from './box-operators.ts';
import { type Dice, diceOf } from './dice.ts';
import type { Excuse } from './judge.ts';
import { Logs, tellVerdict } from './logs.ts';
import { Traffic } from './traffic.ts';

const LOOK_MS = 500;
const END_MS = 60_000;
const LONGEST_STAY_MS = 20_000;
const CHECK = { kind: 'http', path: '/health', port: 8080 };
const COMMON = {
  readyTimeout: 20_000,
  stopTimeout: 1_000,
  readyChecks: [CHECK],
  healthChecks: [{ ...CHECK, interval: 300, timeout: 1_000 }],
  environmentVariables: [{ name: 'SAY_HOST', value: '1' }],
};

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '2' },
    hands: { type: 'string', default: '2' },
  },
});

const logs = new Logs(mkdtempSync(join(tmpdir(), 'gantryd-campaign-')), (line) => console.log(line));
const { say, problem, problems } = logs;
const excuses: Excuse[] = [];
const cleanups: (() => Promise<void> | void)[] = [];
const t = { after: (clean: () => Promise<void> | void) => void cleanups.push(clean) };

const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());
await campaign(Number(values.seed), Number(values.minutes) * 60_000, Number(values.hands)).catch((error) =>
  problem(`the campaign itself: ${error.stack}`),
);
for (const clean of cleanups.reverse())
  await Promise.resolve(clean()).catch((error) => problem(`clean up: ${error}`));
if (problems.length > 0) say(`what the commands and the proxy told is in ${logs.folder}`);
say(problems.length === 0 ? 'nothing failed' : `${problems.length} problems, the first: ${problems[0]}`);
if (problems.length === 0) logs.remove();
process.exit(problems.length === 0 ? 0 : 1);

async function campaign(seed: number, ms: number, hands: number): Promise<void> {
  say(`seed ${seed}, ${ms / 60_000} minutes, ${hands} hands`);
  const dice = diceOf(seed);
  const shop = await openShop(t, {
    ...{ web: { instances: 2, ...COMMON }, others: [await sideComponent()], led: true },
  });
  say(`state in ${shop.box.stateDir}, project ${shop.box.project}`);
  await shop.must('update', ...version('web0'));
  const traffic = new Traffic([{ host: HOST, ...shop }], diceOf(seed + 1), LONGEST_STAY_MS);
  t.after(async () => void (await traffic.stop()));
  const excuse = (one: Excuse) => void excuses.push(one);
  const field: Field = { shop, dice, say, problem, excuse, monitors: new Set(), keep };
  const end = performance.now() + ms;
  const isOver = () => performance.now() >= end || stopping.signal.aborted;
  const watching = watchServing(shop, isOver);
  await Promise.all(Array.from({ length: hands }, () => hand(field, dice, isOver)));
  await watching;
  await settles(field, traffic);
  logs.copy('proxy.log', join(shop.box.stateDir, 'proxy.log'));
}

function keep(name: string, told: string): void {
  logs.append('commands.log', `# ${new Date().toISOString()} ${name}\n${told}\n`);
}

/** One operator after the other, at a bounded pace. */
async function hand(field: Field, dice: Dice, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await draw(dice)(field).catch((error) => problem(`an operator: ${error.stack}`));
    await delay(dice.below(800));
  }
}

/** From outside: `web` always has a container that runs. */
async function watchServing(shop: Shop, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const running = (await shop.containers()).filter((c) => c.state === 'running' || c.state === 'paused');
    if (running.length === 0) problem('no container of web runs');
    await delay(LOOK_MS);
  }
}

/** After the last operator one update of each component must leave exactly what it wants. */
async function settles({ shop, monitors }: Field, traffic: Traffic): Promise<void> {
  for (const monitor of monitors) monitor.interrupt();
  await Promise.all([...monitors].map((monitor) => monitor.ended));
  const last = shop.begin('update', ...version('weblast'), '--set', 'instances=2');
  await delay(1_000);
  const { sent, streams, losses, versions } = await traffic.stop();
  say(`${sent} requests and messages, ${streams} streams`);
  tellVerdict(losses, excuses, logs);
  const strange = [...versions.keys()].filter((one) => !/^web(\d+|last)$/.test(one));
  if (strange.length > 0) problem(`web was answered by ${strange.join(', ')}`);
  const { code, stdout, stderr } = await last.ended;
  if (code !== 0) problem(`the last update exited with ${code}: ${stdout}${stderr}`);
  const side = await shop.gantry('update side', ...version('side'), '--set', 'instances=1');
  if (side.code !== 0)
    problem(`the last update of side exited with ${side.code}: ${side.stdout}${side.stderr}`);
  await until(async () => (await leftovers(shop)).length === 0, {
    timeoutMs: 5_000,
    what: 'a clean end',
  }).catch(async () => problem(`left: ${(await leftovers(shop)).join('; ')}`));
}

async function leftovers(shop: Shop): Promise<readonly string[]> {
  const { box } = shop;
  const [web, side, all] = [
    await shop.containers('web'),
    await shop.containers('side'),
    await box.containers(),
  ];
  const ids = all.map((c) => c.id);
  const found = all.filter((c) => c.state !== 'running').map((c) => `${c.name} is ${c.state}`);
  if (web.length !== 2) found.push(`web has ${web.length} containers`);
  if (side.length !== 1) found.push(`side has ${side.length} containers`);
  const { stdout } = await box.gantryd(['proxy', 'status', '--json'], { timeoutMs: END_MS });
  const { backends } = JSON.parse(stdout) as { backends: { id: string; routed: boolean; open: number }[] };
  const wrong = backends.filter((b) => !ids.includes(b.id) || !b.routed || b.open > 0);
  found.push(...wrong.map((b) => `the proxy has ${b.id.slice(0, 12)} routed ${b.routed} open ${b.open}`));
  if (backends.length !== ids.length) found.push(`the proxy has ${backends.length} backends`);
  const files = readdirSync(box.stateDir, { recursive: true, encoding: 'utf8' });
  found.push(...files.filter((file) => file.endsWith('.tmp')));
  const locks = files.filter((file) => file.startsWith('components') && file.endsWith('.lock'));
  found.push(...locks.filter((lock) => isHeld(join(box.stateDir, lock))).map((lock) => `${lock} is held`));
  const processes = processesOf(box.stateDir).filter(({ command }) => !command.includes('proxy/main.js'));
  return [...found, ...processes.map(({ pid, command }) => `process ${pid}: ${command}`)];
}

function isHeld(path: string): boolean {
  return spawnSync('flock', ['--nonblock', path, 'true']).status !== 0;
}

async function sideComponent() {
  const port = { external: await freePort(), container: 8080, kind: 'http' };
  return { name: 'side', ports: [port], ...COMMON };
}
