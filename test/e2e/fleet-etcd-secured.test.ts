/** A fleet on an etcd that lets in only who has a certificate, a password and the right to the prefix. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RunResult } from '../ground/processes.ts';
import { Endings, type FleetShop, openFleetShop, skipWithoutFleet } from './fleet.ts';
import { exitedWith, getText } from './shop.ts';

const [USER, PASSWORD] = ['shop', 'correct-horse-battery'];
const WRONG = 'staple-battery-horse';
const PREFIX = '/teams/shop';
const SECRET = { GANTRYD_ETCD_PASSWORD: PASSWORD };
/** Whoever is refused is told so, and does not wait for a deadline after the other. */
const WITHIN_MS = 15_000;

const WEB = {
  ...{ name: 'web', repo: 'gantryd-e2e-fleet', tag: 'app' },
  ports: [{ external: 8080, container: 8080, kind: 'http' }],
  readyChecks: [{ kind: 'http', path: '/health' }],
  environmentVariables: [{ name: 'VERSION', value: 'v1' }],
  update: { monitor: 0 },
};

describe('an etcd with TLS and users', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  const said: RunResult[] = [];
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'], etcd: { tls: 'clients' } });
    await shop.etcd.addUser(USER, PASSWORD, PREFIX);
    await Promise.all([writeFile(file('password'), `${PASSWORD}\n`), writeFile(file('wrong'), WRONG)]);
  });
  after(() => endings.run());

  test('all commands and the agents work, with the password from a file or the environment', async () => {
    const config = file('shop.json');
    await writeFile(config, JSON.stringify({ components: [WEB] }));
    const byFile = [...tls(), ...user(), '--etcd-password-file', file('password')];
    const byEnvironment = [...tls(), ...user()];
    exitedWith(0, await gantryd(['setconfig', 'shop', config, ...byFile]));
    const agents = shop.hosts.map((host, i) => {
      const words = ['run', 'shop', '--host-name', host.name, ...(i === 0 ? byFile : byEnvironment)];
      return host.agent(words, { env: { ...shop.env, ...(i === 0 ? {} : SECRET) } });
    });
    await Promise.all(agents.map((agent) => agent.says('Gantryd running')));
    const update = gantryd(['update', 'shop', '--wait', ...byEnvironment], SECRET);
    exitedWith(0, await update);
    for (const host of shop.hosts) assert.equal(await getText(shop.http(host), '/version'), 'v1');
    const list = await gantryd(['list', 'shop', '--hosts', ...byFile]);
    exitedWith(0, list);
    for (const { name } of shop.hosts) assert.match(list.stdout, new RegExp(`\\b${name}\\b.*serving`));
    exitedWith(0, await gantryd(['stop', 'shop', '--wait', ...byFile]));

    assert.deepEqual(commandLinesWith(PASSWORD), []);
    for (const agent of agents) agent.signal('SIGTERM');
    said.push(...(await Promise.all(agents.map((agent) => agent.ended))));
    for (const { stdout, stderr } of said) assert.ok(!`${stdout}${stderr}`.includes(PASSWORD));
  });

  const refusals: readonly {
    readonly who: string;
    readonly args: () => readonly string[];
    readonly env?: () => NodeJS.ProcessEnv;
    readonly told: RegExp;
  }[] = [
    {
      who: 'a wrong password',
      args: () => [...tls(), ...user(), '--etcd-password-file', file('wrong')],
      told: /refuses: authentication failed.*\n.*Check the user and password/,
    },
    {
      who: 'no user',
      args: () => [...tls(), '--etcd-prefix', PREFIX],
      told: /refuses: .*\n.*(user|role)/,
    },
    {
      who: 'a user without the right to the prefix',
      args: () => [...tls(), ...user('/teams/other'), '--etcd-password-file', file('password')],
      told: /refuses: .*permission denied.*\n.*Give the user of etcd the role/,
    },
    {
      who: 'a CA that is another',
      args: () => [
        ...tls(shop.etcd.certificates?.stranger.cert),
        ...user(),
        '--etcd-password-file',
        file('password'),
      ],
      told: /no TLS with etcd at https:.*\n.*Check the CA/,
    },
    {
      who: 'no client certificate',
      args: () => ['--etcd-ca', pem().ca, ...user(), '--etcd-password-file', file('password')],
      told: /no TLS with etcd at https:.*certificate.*\n.*client certificate/,
    },
    {
      who: 'no TLS',
      args: () => [...user(), '--etcd-password-file', file('password')],
      env: () => ({ GANTRYD_ETCD: shop.etcd.endpoints.join(',').replace('https:', 'http:') }),
      told: /asked without TLS, but speaks TLS.*\n.*https/,
    },
  ];
  for (const { who, args, env = () => ({}), told } of refusals) {
    test(`who comes with ${who} is told so at once, agents too`, async () => {
      const commands = [
        ['list', 'shop'],
        ['update', 'shop'],
        ['run', 'shop'],
      ];
      for (const command of commands) {
        const since = performance.now();
        const result = await gantryd([...command, ...args()], env());
        exitedWith(1, result);
        assert.match(result.stderr, told, command.join(' '));
        assert.ok(performance.now() - since < WITHIN_MS);
        for (const secret of [PASSWORD, WRONG])
          assert.ok(!`${result.stdout}${result.stderr}`.includes(secret));
      }
    });
  }

  test('who names a user without a password is told where it is looked for', async () => {
    const result = await gantryd(['list', 'shop', ...tls(), ...user()]);
    exitedWith(2, result);
    assert.match(result.stderr, /--etcd-password-file.*GANTRYD_ETCD_PASSWORD/);
  });

  async function gantryd(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<RunResult> {
    const result = await shop.first.gantryd(args, { env: { ...shop.env, ...env } });
    said.push(result);
    return result;
  }

  function file(name: string): string {
    return join(shop.first.folder, name);
  }

  function pem() {
    const { certificates } = shop.etcd;
    assert.ok(certificates !== undefined);
    return certificates;
  }

  function tls(ca = pem().ca): readonly string[] {
    const { cert, key } = pem().client;
    return ['--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key];
  }

  function user(prefix = PREFIX): readonly string[] {
    return ['--etcd-user', USER, '--etcd-prefix', prefix];
  }
});

/** As `ps` shows them to everybody. */
function commandLinesWith(text: string): readonly string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const lines = pids.flatMap((pid) => {
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')];
    } catch {
      return []; // it has ended
    }
  });
  return lines.filter((line) => line.includes(text));
}
