/**
 * A process in a network of its own that does as it is told over its channel: a container that serves, a client, or
 * whoever keeps the kernel plane of a host. Ends with the process that started it.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { type AddressInfo, type Socket } from 'node:net';
import { SILENT } from '../../../src/log.ts';
import { forgetTarget } from '../../../src/proxy/kernel/ending.ts';
import { Nft } from '../../../src/proxy/kernel/nft.ts';
import type {
  KernelEntry,
  KernelFlow,
  KernelPlane,
  KernelProtocol,
} from '../../../src/proxy/kernel/plane.ts';
import { rulesetOf } from '../../../src/proxy/kernel/ruleset.ts';
import { type Sight, Table } from '../../../src/proxy/kernel/table.ts';
import { openKernelThread } from '../../../src/proxy/kernel/thread.ts';

const ANSWER_MS = 4_000;
const held = new Map<number, { socket: Socket; lines: AsyncIterator<string>; closed: Promise<string> }>();
let plane: KernelPlane | undefined;
let load: { stop: boolean; done: Promise<void>; counts: Record<string, number> } | undefined;
const events: string[] = [];

const deeds = {
  /** Says `name` to whoever comes, and then repeats what it hears; on IPv4 and IPv6, tcp and udp. */
  async serve(name: string, port: number): Promise<number> {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(`${name}\n`);
      socket.pipe(socket);
    });
    server.listen({ host: '::', port });
    await once(server, 'listening');
    const datagrams = dgram.createSocket('udp6');
    datagrams.on('message', (_, { port: from, address }) => datagrams.send(name, from, address));
    const { port: taken } = server.address() as AddressInfo;
    datagrams.bind(taken, '::');
    await once(datagrams, 'listening');
    return taken;
  },

  /** Who answers a new connection; the code of the failure when nobody does. */
  ask,

  /** The same with datagrams, `rounds` of them from one port; '' is no answer. */
  async askDatagrams(host: string, port: number, rounds: number, waitMs: number): Promise<string[]> {
    const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4');
    const answers: string[] = [];
    for (let round = 0; round < rounds; round++) {
      socket.send('hello', port, host);
      const answer = await once(socket, 'message', { signal: AbortSignal.timeout(waitMs) }).catch(() => ['']);
      answers.push(String(answer[0]));
    }
    socket.close();
    return answers;
  },

  async hold(id: number, host: string, port: number, localPort?: number): Promise<string> {
    const socket = net.connect(from(host, port, localPort));
    const closed = new Promise<string>((resolve) => {
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      socket.once('close', () => resolve('closed'));
    });
    const lines = linesOf(socket);
    held.set(id, { socket, lines, closed });
    return (await lines.next()).value;
  },

  async say(id: number, text: string): Promise<string> {
    const { socket, lines } = heldOne(id);
    socket.write(`${text}\n`);
    return (await lines.next()).value;
  },

  /** How the connection ended, as this side sees it. */
  async ended(id: number): Promise<string> {
    return within(heldOne(id).closed);
  },

  async drop(id: number): Promise<void> {
    heldOne(id).socket.end();
    await within(heldOne(id).closed);
  },

  /** New connections one after another, in `lanes` at a time, until `loadStop`. */
  async loadStart(host: string, port: number, lanes: number): Promise<void> {
    const running = { stop: false, counts: {} as Record<string, number>, done: Promise.resolve() };
    const lane = async () => {
      while (!running.stop) {
        const answer = await ask(host, port);
        running.counts[answer] = (running.counts[answer] ?? 0) + 1;
      }
    };
    running.done = Promise.all(Array.from({ length: lanes }, lane)).then(() => undefined);
    load = running;
  },

  async loadCounts(): Promise<Record<string, number>> {
    return load?.counts ?? {};
  },

  async loadStop(): Promise<Record<string, number>> {
    if (load === undefined) return {};
    load.stop = true;
    await load.done;
    return load.counts;
  },

  /** Connections of this network that the kernel calls established. */
  async established(): Promise<number> {
    const lines = ['tcp', 'tcp6'].flatMap((name) =>
      readFileSync(`/proc/self/net/${name}`, 'utf8').split('\n'),
    );
    return lines.filter((line) => line.trim().split(/\s+/)[3] === '01').length;
  },

  async open(stateDir: string): Promise<void> {
    plane = openKernelThread({
      stateDir,
      log: SILENT,
      events: {
        targetDead: () => undefined,
        targetGone: ({ id }) => events.push(`gone ${id}`),
        restored: (missing, error) =>
          events.push(`restored ${missing}${error === undefined ? '' : ` ${error}`}`),
      },
    });
  },

  /** By two at once; answers how many each has ended. */
  async forgetTwice(target: { protocol: KernelProtocol; host: string; port: number }): Promise<number[]> {
    return Promise.all([forgetTarget(target), forgetTarget(target)]);
  },

  async apply(entries: readonly KernelEntry[]): Promise<void> {
    await kept().apply(entries);
  },

  /** Switches to and fro; answers how long each took, in ms. */
  async switches(
    ways: readonly (readonly KernelEntry[])[],
    count: number,
    pauseMs: number,
  ): Promise<number[]> {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const started = performance.now();
      await kept().apply(ways[i % ways.length] ?? []);
      times.push(performance.now() - started);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return times;
  },

  /** Changes a table by an nft of its own that is renewed after `maxAsked`: what the set holds after each change or why it was refused, and by which nft. */
  async changes(
    texts: readonly string[],
    maxAsked: number,
  ): Promise<{ said: string; pid: number | undefined }[]> {
    const nft = new Nft(maxAsked);
    const answers: { said: string; pid: number | undefined }[] = [];
    await nft.try('add table inet t9; add set inet t9 s { type mark; }');
    for (const text of texts) {
      const refusal = await nft.change(text).then(
        () => undefined,
        ({ message }) => message,
      );
      const said = refusal ?? (await nft.try('list set inet t9 s'));
      answers.push({ said, pid: nft.pid });
      await nft.renew();
    }
    await nft.try('delete table inet t9');
    await nft.close();
    return answers;
  },

  /** Writes a table of its own each way; answers whether there was something to write, and how the table looks then. */
  async writes(ways: readonly (readonly KernelEntry[])[]): Promise<[boolean, Sight][]> {
    const nft = new Nft();
    const table = new Table('t10', nft, SILENT);
    const seen: [boolean, Sight][] = [];
    for (const entries of ways)
      seen.push([await table.write(rulesetOf({ entries, near: [], loopback: false })), await table.look()]);
    await table.remove();
    await nft.close();
    return seen;
  },

  /** Does nothing at all for so long, as a process that is busy with something else. */
  async freeze(ms: number): Promise<void> {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  },

  flows: async () => kept().flows(),
  end: async (flows: readonly KernelFlow[], pid: number | undefined) => kept().end(flows, pid ?? undefined),
  ability: async (protocol: KernelProtocol) => kept().ability(protocol),
  purge: async () => kept().purge(),
  close: async () => kept().close(),
  events: async () => events.splice(0),
};

export type Deeds = typeof deeds;

async function ask(host: string, port: number, localPort?: number): Promise<string> {
  const socket = net.connect({ ...from(host, port, localPort), noDelay: true });
  try {
    const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_MS) });
    return String(data).trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}

/** `localPort`: undefined for any. */
function from(host: string, port: number, localPort: number | undefined): net.TcpNetConnectOpts {
  return localPort === undefined ? { host, port } : { host, port, localPort };
}

async function* linesOf(socket: Socket): AsyncGenerator<string, string> {
  let rest = '';
  try {
    for await (const data of socket) {
      const lines = (rest + String(data)).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  }
  return 'closed';
}

async function within<T>(wait: Promise<T>): Promise<T | string> {
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('still open'), ANSWER_MS).unref());
  return Promise.race([wait, late]);
}

function heldOne(id: number) {
  const found = held.get(id);
  if (found === undefined) throw new Error(`no connection ${id} is held`);
  return found;
}

function kept(): KernelPlane {
  if (plane === undefined) throw new Error('no plane was opened');
  return plane;
}

process.on('disconnect', () => process.exit());
process.on('message', async ({ id, deed, args }: { id: number; deed: keyof Deeds; args: never[] }) => {
  try {
    const answer = await (deeds[deed] as (...args: never[]) => unknown)(...args);
    process.send?.({ id, answer });
  } catch (error) {
    const { message, code, hint } = error as { message: string; code?: string; hint?: string };
    process.send?.({ id, error: { message, code, hint } });
  }
});
process.send?.({ id: 0 });
