/** A command runs in a container on whichever host, as if it ran here, and does not outlive who asked for it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXEC_PROTOCOL } from '../../src/api/exec/exec-wire.ts';
import { LABELS } from '../../src/docker/spec.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import type { Running, RunResult } from '../ground/processes.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { exitedWith, jsonLines } from './shop.ts';

const API_PORT = 7070;
const IDLE = 'process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000)';
const WEB = { command: ['/bin/node', '-e', IDLE], ports: [], readyChecks: [] };
const node = (script: string) => ['--', '/bin/node', '-e', script];
const CAT = 'process.stdin.pipe(process.stdout)';
const BOTH =
  'console.log(process.env.HOSTNAME, process.env.WHAT); console.error("err"); process.exitCode = 7';
const LINGER = 'console.log("begun"); setInterval(() => {}, 1000) // lingers';
/** How many commands linger in the container, this one aside. */
const COUNT = `
  const { readdirSync, readFileSync } = require('node:fs');
  const words = (pid) => { try { return readFileSync('/proc/' + pid + '/cmdline', 'utf8') } catch { return '' } };
  const others = readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid) && +pid !== process.pid);
  console.log(others.filter((pid) => words(pid).endsWith('// lingers\\0')).length);
`;

describe('commands in the containers of a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  let [a, b]: Host[] = [];
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
    [a, b] = shop.hosts;
  });
  after(() => endings.run());

  const exec = (...words: readonly string[]): Promise<RunResult> =>
    shop.gantryd('exec', '-c', 'web', ...words);
  const begin = (...words: readonly string[]): Running =>
    (a as Host).agent(['exec', 'shop', '-c', 'web', ...words], { env: shop.env });
  const lingering = async () => Number((await exec('--host', 'b', ...node(COUNT))).stdout);
  const isAlone = async () => (await lingering()) === 0;

  test('run where they are asked to, with their own streams, codes and ends', async () => {
    const [, onB] = await Promise.all([
      shop.agent('a', '--api', `${a?.address}:${API_PORT}`),
      shop.agent('b'),
    ]);
    await shop.deploy('v1', WEB);

    const [any, there, piped, missing, strange, token] = await Promise.all([
      exec('-e', 'WHAT=here', ...node(BOTH)),
      exec('--host', 'b', ...node(BOTH)),
      pipedThrough(),
      exec('--', '/no/such/program'),
      exec('--host', 'c', '--', 'x'),
      shop.first.gantryd(['token', 'create', 'ci', '--role', 'deploy'], { env: shop.env }),
    ]);
    exitedWith(7, any);
    assert.match(any.stdout, /^[0-9a-f]{12} here\n$/);
    assert.match(any.stderr, /^(In a\/[0-9a-f]{12}, one of 2\nerr\n|err\nIn .*\n)$/);
    const [own] = await (b as Host).containers({ [LABELS.component]: 'web' });
    assert.equal(there.stdout, `${own?.id.slice(0, 12)} undefined\n`);
    assert.equal(there.stderr, 'err\n', 'there is one alone on b');
    assert.ok(piped.sent.equals(piped.got), `${piped.got.length} bytes came back`);
    exitedWith(127, missing);
    assert.match(missing.stderr, /Error: OCI runtime exec failed.*\/no\/such\/program/);
    exitedWith(2, strange);
    assert.match(strange.stderr, /web runs on no live host c\n.*It runs on: a, b\./);
    assert.equal(await statusOfUpgrade(token.stdout), 403);

    const [interrupted, killed] = [
      begin('--host', 'a', ...node(LINGER)),
      begin('--host', 'b', '-i', ...node(LINGER)),
    ];
    await Promise.all([interrupted, killed].map((each) => each.says('begun', WAIT_MS)));
    assert.equal(await lingering(), 1);
    interrupted.signal('SIGINT');
    exitedWith(130, await interrupted.ended);
    killed.signal('SIGKILL');
    await until(isAlone, { timeoutMs: WAIT_MS, what: 'the command to end with who asked for it' });

    const left = begin('--host', 'b', ...node(LINGER));
    await left.says('begun', WAIT_MS);
    onB.signal('SIGTERM');
    const told = await left.ended;
    exitedWith(1, told);
    assert.match(told.stderr, /the agent of b ends, and the command with it/);
    await onB.ended;
    await shop.agent('b');
    assert.equal(await lingering(), 0);

    const asked = jsonLines(await shop.must('events', '--audit', '--json')).filter(
      (e) => e.action === 'exec',
    );
    assert.ok(asked.some(({ detail }) => /^b\/[0-9a-f]{12}: \/bin\/node -e console/.test(String(detail))));
    assert.ok(
      asked.every((entry) => !JSON.stringify(entry).includes('here')),
      'no values of variables',
    );
  });

  /** 5 MB there and back, by way of files: a shell on the host leads them to the command. */
  async function pipedThrough(): Promise<{ readonly sent: Buffer; readonly got: Buffer }> {
    const [from, to] = ['sent', 'got'].map((name) => join((a as Host).folder, name)) as [string, string];
    const sent = randomBytes(5_000_000);
    await writeFile(from, sent);
    const words = [
      process.execPath,
      join(PACKAGE_ROOT, 'bin', 'gantryd.js'),
      'exec',
      'shop',
      '-c',
      'web',
      '-i',
    ];
    const line = [...words, '--host', 'b', ...node(CAT)].map((word) => `'${word}'`).join(' ');
    const env = { ...process.env, ...shop.env };
    exitedWith(0, await (a as Host).run('/bin/sh', ['-c', `${line} < '${from}' > '${to}'`], { env }));
    return { sent, got: await readFile(to) };
  }

  function statusOfUpgrade(token: string): Promise<number> {
    const path = '/v1/projects/shop/components/web/exec';
    const found = /gantryd_\S+/.exec(token)?.[0] ?? '';
    const headers = { authorization: `Bearer ${found}`, connection: 'Upgrade', upgrade: EXEC_PROTOCOL };
    return new Promise((resolve, reject) => {
      const asked = request({ host: a?.address, port: API_PORT, path, headers, agent: false });
      asked.once('error', reject).once('response', (answer) => {
        resolve(answer.resume().statusCode ?? 0);
      });
      asked.once('upgrade', (_, socket) => {
        socket.destroy();
        resolve(101);
      });
      asked.end();
    });
  }
});
