/** What is wrong with a command on a fleet must be said before etcd is asked; an etcd that is away, in three seconds. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, freePort, tempFolder } from '../../ground/harness.ts';
import { type Cli, cli } from '../../ground/processes.ts';
import { type Case, fails, lastJson } from '../cases.ts';

const CONFIG = { project: 'shop', components: [{ name: 'web', repo: 'shop' }] };
/** Three seconds, and what a very busy machine takes to start a process. */
const MOST_MS = 20_000;

const WRONG: readonly Pick<Case, 'args' | 'says' | 'env'>[] = [
  { args: ['updat', 'shop'], says: ['Unknown command "updat"; did you mean "update"?'] },
  { args: ['lst', 'shop', '-c'], says: ['Unknown command "lst"; did you mean "list"?'] },
  { args: ['update'], says: ['Too few words', '`gantryd update shop -c web`'] },
  { args: ['setconfig', 'shop'], says: ['`gantryd setconfig shop shop.yaml`'] },
  { args: ['rollout', 'status'], says: ['`gantryd rollout status shop -c web`'] },
  { args: ['rollout', 'paus', 'shop', '-c', 'web'], says: ['"paus" is no action; did you mean "pause"?'] },
  { args: ['update', '-c', 'web', 'shop'], says: ['The project comes before -c'] },
  { args: ['update', 'shop', '-c'], says: ['-c needs a value'] },
  { args: ['update', 'shop', 'web'], says: ['Unexpected word "web"'] },
  {
    args: ['list', 'shop', '--etcd-prefx', 'x'],
    says: [/Unknown option --etcd-prefx; did you mean "--etcd-prefix"\?$/m],
  },
  { args: ['list', 'shop', '--host'], says: ['did you mean "--hosts"?'] },
  { args: ['list', 'a/b'], says: ['"a/b" cannot be the name of a project', 'The project comes first'] },
  { args: ['history', 'shop'], says: ['needs a component: -c NAME'] },
  { args: ['why', 'shop', '-c', 'web', 'api'], says: ['is about one component: -c NAME'] },
  { args: ['rollback', 'shop', '--to', '3'], says: ['--to needs one component'] },
  { args: ['rollback', 'shop', '-c', 'web', '--to', 'v1'], says: ['--to takes a whole number, 1 or more'] },
  { args: ['update', 'shop', '--timeout', '3'], says: ['--timeout needs --wait'] },
  {
    args: ['update', 'shop', '--wait', '--timeout', '-1'],
    says: ['--timeout takes a whole number, 0 or more'],
  },
  { args: ['update', 'shop', '--note', 'a', '--note', 'b'], says: ['--note is given more than once'] },
  { args: ['scale', 'shop'], says: ['`gantryd scale shop web=3`'] },
  { args: ['scale', 'shop', 'web'], says: ['"web" says no number of a component', 'NAME=total:6'] },
  { args: ['scale', 'shop', 'web=-1'], says: ['"web=-1" says no number of web'] },
  { args: ['scale', 'shop', 'web=1001'], says: ['web cannot have 1001 containers', '0 to 1000'] },
  { args: ['scale', 'shop', 'web=2', '--timeout', '3'], says: ['--timeout needs --wait'] },
  { args: ['logs'], says: ['`gantryd logs shop -c web -f`'] },
  { args: ['logs', 'shop'], says: ['needs a component: -c NAME'] },
  { args: ['logs', 'shop', '-c', 'web', '--since', 'long'], says: ['--since long is no time'] },
  { args: ['logs', 'shop', '-c', 'web', '--tail', '-1'], says: ['--tail takes a whole number, 0 or more'] },
  { args: ['logs', 'shop', '-c', 'web', '--host', ''], says: ['--host needs a value'] },
  { args: ['events', 'shop', '--since', 'long'], says: ['--since long is no time', 'As 90s, 15m, 1h or 2d'] },
  { args: ['run', 'shop', '--log-format', 'xml'], says: ['It is one of: pretty, json'] },
  { args: ['list', 'shop', '--etcd', ''], says: ['--etcd needs a value'] },
  { args: ['list', 'shop', '--etcd', 'a', '--etcd', 'b'], says: ['--etcd is given more than once'] },
  { args: ['list', 'shop', '--etcd', ','], says: ['no address of an etcd member'] },
  { args: ['list', 'shop', '--etcd', 'ftp://here'], says: ['ftp://here is not the address', 'host:port'] },
  { args: ['list', 'shop', '--etcd-prefix', 'gantryd'], says: ['--etcd-prefix begins with a slash'] },
  {
    args: ['list', 'shop', '--etcd-ca', '/nowhere/ca.pem'],
    says: ['--etcd-ca /nowhere/ca.pem cannot be read'],
  },
  { args: ['list', 'shop', '--etcd-cert', '/dev/null'], says: ['needs its key'] },
  {
    args: ['list', 'shop', '--etcd-user', 'ann'],
    says: ['The password of the etcd user ann is missing', 'GANTRYD_ETCD_PASSWORD'],
  },
  {
    args: ['list', 'shop', '--etcd-user', 'ann', '--etcd-password-file', '/nowhere'],
    says: ['--etcd-password-file /nowhere cannot be read'],
  },
  { args: ['setconfig', 'shop', '/nowhere.yaml'], says: ['/nowhere.yaml does not exist'] },
  { args: ['list', 'shop'], env: { GANTRYD_ETCD: 'ftp://there' }, says: ['ftp://there'] },
  {
    args: ['list', 'shop'],
    env: { GANTRYD_ETCD_CA: '/nowhere/ca.pem' },
    says: ['--etcd-ca /nowhere/ca.pem cannot be read'],
  },
  {
    args: ['run', 'shop', '--log-format', 'json'],
    env: { GANTRYD_HOST_NAME: 'a/b' },
    says: ['"a/b" cannot be the name of a host'],
  },
  {
    args: ['run', 'shop'],
    env: { GANTRYD_LABELS: 'rack=7, odd' },
    says: ['--label odd is no label'],
  },
];

describe('a command on a fleet', () => {
  let commands: Cli;
  let file: string;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  before(async () => {
    const folder = await tempFolder(cleanup);
    commands = cli(cleanup, join(folder, 'state'));
    file = join(folder, 'shop.json');
    await writeFile(file, JSON.stringify(CONFIG));
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  describe('that is wrong', { concurrency: 2 }, () => {
    for (const one of WRONG)
      test(`gantryd ${one.args.join(' ')}`, () => fails(commands, { ...one, command: 'gantryd', code: 2 }));
  });

  test('belongs to gantryd, not to gantry', async () => {
    await fails(commands, { args: ['history', 'shop', '-c', 'web'], code: 2, says: ['Unknown option -c'] });
    const { stdout } = await commands.gantry(['--help']);
    assert.doesNotMatch(stdout, /setconfig <project>|--etcd/);
  });

  test('tells its options and exit codes', async () => {
    const { stdout } = await commands.gantryd(['--help']);
    for (const words of ['setconfig <project> <file>', 'rollout <action> <project>', '3 the time is over'])
      assert.ok(stdout.includes(words), words);
    const update = await commands.gantryd(['update', '--help']);
    for (const words of [
      '--etcd-prefix',
      '--etcd-user',
      '-c, --component',
      '--wait',
      '--note',
      'default: 1800',
    ])
      assert.ok(update.stdout.includes(words), words);
  });

  describe('without an etcd', { concurrency: 2 }, () => {
    const lines = [
      ...[
        ['list', 'shop'],
        ['list', 'shop', '--watch', '--hosts'],
        ['getconfig', 'shop'],
      ],
      ...[
        ['update', 'shop', '--wait'],
        ['rollback', 'shop'],
        ['stop', 'shop'],
        ['kill', 'shop'],
      ],
      ...[
        ['history', 'shop', '-c', 'web'],
        ['events', 'shop', '-f'],
        ['why', 'shop', '-c', 'web'],
      ],
      ...['pause', 'resume', 'status'].map((action) => ['rollout', action, 'shop', '-c', 'web']),
    ];

    async function gone(args: readonly string[], address: string) {
      const begin = performance.now();
      const { code, stdout, stderr } = await commands.gantryd([...args, '--etcd', address, '--json']);
      const ms = performance.now() - begin;
      assert.deepEqual([code, stderr], [1, ''], stdout);
      const error = lastJson(stdout);
      assert.deepEqual([error.code, error.retryable], ['cluster-unreachable', true]);
      assert.ok(String(error.message).includes(address.replace('http://', '')), String(error.message));
      assert.ok(ms < MOST_MS, `${args.join(' ')} took ${Math.round(ms)} ms`);
    }

    for (const args of lines)
      test(args.join(' '), async () => gone(args, `http://127.0.0.1:${await freePort()}`));

    test('setconfig', async () => gone(['setconfig', 'shop', file], `http://127.0.0.1:${await freePort()}`));

    test('that takes a connection and says nothing', async () => {
      const sockets = new Set<{ destroy(): void }>();
      const silent = createServer((socket) => sockets.add(socket));
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      cleanups.push(() => {
        for (const socket of sockets) socket.destroy();
        silent.close();
      });
      const address = silent.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      await gone(['stop', 'shop'], `http://127.0.0.1:${port}`);
    });
  });
});
