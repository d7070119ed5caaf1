/**
 * A client that comes from elsewhere: a network namespace behind a wire to this one. What the kernel leads takes another
 * way for it than for clients on the host.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { type Cleanup, until } from './harness.ts';
import { type Running, start } from './processes.ts';

const run = promisify(execFile);
const WAIT_MS = 20_000;

/** Says each line that it is sent; sends one every 50 ms. */
const FAR_CLIENT = `
  const socket = require('node:net').connect(+process.argv[2], process.argv[1]);
  let leaves = false;
  socket.pipe(process.stdout);
  const beat = setInterval(() => socket.write('x\\n'), 50);
  socket.on('close', () => { if (!leaves) console.log('error: cut'); process.exit(0); }).on('error', (e) => console.log('error ' + e.message));
  process.on('SIGTERM', () => { leaves = true; clearInterval(beat); socket.end(); });`;

/** For the `skip` option of tests that need the kernel plane, or a far host. */
export const skipWithoutKernel: string | false = withoutKernel();

/** A host of its own, behind a wire: a network namespace, which goes with this process, however that ends. */
export async function farHost(t: Cleanup) {
  const name = `gantryd${Math.random().toString(36).slice(2, 7)}`;
  const [here, there] = ['198.18.77.1', '198.18.77.2'];
  const ip = (...words: string[]) => run('ip', words);
  // It ends with its standard input, and the namespace and both ends of the wire with it.
  const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const within = ['--net', `--target=${holder.pid}`];
  const ended = once(holder, 'exit');
  t.after(async () => {
    holder.stdin.end();
    await ended;
  });
  holder.stdin.write('ready');
  await Promise.race([once(holder.stdout, 'data'), ended]);
  await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'far', 'netns', `${holder.pid}`);
  await ip('addr', 'add', `${here}/24`, 'dev', name);
  await ip('link', 'set', name, 'up');
  await run('nsenter', [...within, 'ip', 'addr', 'add', `${there}/24`, 'dev', 'far']);
  await run('nsenter', [...within, 'ip', 'link', 'set', 'far', 'up']);
  const client = (port: number): FarClient => {
    const words = [...within, process.execPath, '-e', FAR_CLIENT, here, String(port)];
    return farClient(start(t, 'nsenter', words));
  };
  return {
    client,
    async hello(port: number) {
      const one = client(port);
      const said = await one.untilSays('hello');
      await one.leave();
      return said.split(' ')[0];
    },
  };
}

export interface FarClient {
  /** Answers all that it was told so far. */
  untilSays(text: string): Promise<string>;
  leave(): Promise<void>;
}

function farClient(running: Running): FarClient {
  return {
    async untilSays(text) {
      await until(() => running.stdout.includes(text), {
        timeoutMs: WAIT_MS,
        what: `a client to hear ${text}`,
      });
      return running.stdout;
    },
    async leave() {
      running.signal('SIGTERM');
      await running.ended;
      assert.doesNotMatch(running.stdout, /error/);
    },
  };
}

function withoutKernel(): string | false {
  try {
    execFileSync('nft', ['list', 'tables'], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'it takes root, nft and ip';
  }
}
