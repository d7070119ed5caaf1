/** A host that cannot be used must end a command with 1, saying where it looked; `check` still validates. */
import assert from 'node:assert/strict';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, freePort, tempFolder } from '../ground/harness.ts';
import { type Cli, cli } from '../ground/processes.ts';
import { type Case, fails, lastJson } from './cases.ts';

const CONFIG = {
  project: 'shop',
  components: [
    { name: 'web', repo: 'shop' },
    { name: 'worker', repo: 'shop' },
  ],
};

describe('the host', () => {
  let commands: Cli;
  let folder: string;
  let config: string;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  before(async () => {
    folder = await tempFolder(cleanup);
    commands = cli(cleanup, join(folder, 'state'));
    config = join(folder, 'shop.json');
    await writeFile(config, JSON.stringify(CONFIG));
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  async function fail(one: Omit<Case, 'args' | 'code'> & { args: readonly string[]; code?: 1 | 2 }) {
    await fails(commands, { code: 1, ...one, args: [config, ...one.args] });
  }

  describe('without a state directory', () => {
    test('because a file is in its place, or above it', async () => {
      const file = join(folder, 'file');
      await writeFile(file, '');
      for (const path of [file, join(file, 'below')])
        await fail({ args: ['list', 'web', '--state-dir', path], says: [path, 'is a file', '--state-dir'] });
    });

    test('because its path is too long for a socket', async () => {
      const path = join(folder, 'x'.repeat(110));
      const says = ['too long for a socket', /at most \d+ bytes/];
      await fail({ args: ['update', 'web', '--state-dir', path], says });
      await assert.rejects(access(path));
    });

    test('because everybody may write to it', async () => {
      const path = join(folder, 'open');
      await mkdir(path);
      await chmod(path, 0o777);
      await fail({ args: ['list', 'web', '--state-dir', path], says: ['0777', `chmod go-w ${path}`] });
    });

    test('still validates a config', async () => {
      const file = join(folder, 'file');
      await writeFile(file, '');
      const { code, stdout } = await commands.gantry([config, 'check', '--state-dir', file]);
      assert.equal(code, 0);
      assert.match(stdout, /is valid: project shop, 2 components\nNo plan: .*is a file/);
    });
  });

  describe('without a Docker engine', { concurrency: 2 }, () => {
    const gone = (address: string, ...says: (string | RegExp)[]) =>
      fail({ args: ['list', 'web', '--docker', address], says: [address, ...says] });

    test('because there is no socket', () =>
      gone(`unix://${join(folder, 'none.sock')}`, 'No Docker engine answers', '--docker or DOCKER_HOST'));

    test('because nothing listens on the port', async () =>
      gone(`tcp://127.0.0.1:${await freePort()}`, 'No Docker engine answers', 'ECONNREFUSED'));

    test('because the socket is a plain file', async () => {
      await writeFile(join(folder, 'plain.sock'), '');
      await gone(`unix://${join(folder, 'plain.sock')}`, 'No Docker engine answers');
    });

    test('where DOCKER_HOST says', async () => {
      const address = `unix://${join(folder, 'elsewhere.sock')}`;
      await fail({ args: ['list', 'web'], env: { DOCKER_HOST: address }, says: [address] });
    });

    test('at an address that is none', async () => {
      await fail({ args: ['list', 'web', '--docker', 'shop'], code: 2, says: ["'shop'", 'unix:///'] });
      const env = { DOCKER_HOST: 'ssh://host' };
      await fail({ args: ['list', 'web'], env, code: 2, says: ["'ssh://host' from DOCKER_HOST"] });
    });

    test('because a web server answers', async () => {
      const server = createHttpServer((_, res) => res.writeHead(404).end('<html>not here</html>'));
      await gone(await listening(server), 'is no Docker engine', '--docker');
    });

    test('because a web server answers everything', async () => {
      const server = createHttpServer((_, res) => res.end('<html>welcome</html>'));
      await gone(await listening(server), 'is no Docker engine');
    });

    test('because something else than HTTP answers', async () => {
      const server = createServer((socket) => socket.end('220 mail ready\r\n'));
      await gone(await listening(server), 'is no Docker engine');
    });

    test('because whoever takes the connection closes it', async () => {
      const server = createServer((socket) => socket.destroy());
      await gone(await listening(server), 'broke off');
    });

    test('validates a config all the same, and says why there is no plan', async () => {
      const env = { DOCKER_HOST: `unix://${join(folder, 'none.sock')}` };
      const words = await commands.gantry([config, 'check'], { env });
      assert.equal(words.code, 0);
      assert.match(
        words.stdout,
        /valid: project shop, 2 components\nNo plan: No Docker engine answers at unix/,
      );
      for (const program of ['gantry', 'gantryd'] as const) {
        const same = await commands[program](['local', 'check', config], { env });
        assert.deepEqual(same, words, `${program} local`);
      }
      const json = await commands.gantry([config, 'check', '--json'], { env });
      assert.deepEqual(JSON.parse(json.stdout.split('\n')[0] ?? ''), {
        valid: true,
        project: 'shop',
        components: ['web', 'worker'],
      });
      assert.equal(lastJson(json.stdout).plan, null);
    });
  });

  describe('without a proxy', () => {
    test('says so', async () => {
      for (const action of ['status', 'stop']) {
        const { code, stdout } = await commands.gantryd(['proxy', action]);
        assert.deepEqual([code, stdout], [0, `No proxy runs for ${join(folder, 'state')}\n`]);
      }
      const { stdout } = await commands.gantryd(['proxy', 'status', '--json']);
      assert.deepEqual(lastJson(stdout), { running: false });
    });
  });

  test('with a record that is damaged names the file and what to do', async () => {
    const records = join(folder, 'state', 'components', 'shop');
    await mkdir(records, { recursive: true });
    for (const text of ['{"format":1', '[]', '{"format":9}']) {
      await writeFile(join(records, 'web.json'), text);
      const env = { DOCKER_HOST: await listening(emptyEngine()) };
      for (const action of ['list', 'stop', 'kill'])
        await fail({ args: [action, 'web'], env, says: [join(records, 'web.json'), 'Move it away'] });
    }
  });

  async function listening(server: Server): Promise<string> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => void server.close());
    const address = server.address();
    return `tcp://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }
});

/** Has an image for everything and no container: enough for commands that fail before they need more. */
function emptyEngine() {
  return createHttpServer((req, res) => {
    const answer = req.url?.includes('/version')
      ? { Version: '99', ApiVersion: '1.41', MinAPIVersion: '1.12' }
      : req.url?.includes('/images/')
        ? { Id: `sha256:${'0'.repeat(64)}`, RepoTags: ['shop:latest'], RepoDigests: [] }
        : [];
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(answer));
  });
}
