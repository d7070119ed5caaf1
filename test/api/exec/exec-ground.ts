/** Agents on fake engines, whose containers commands are run in, and this end of such a command. */
import { PassThrough, type Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { peerDoor } from '../../../src/api/auth.ts';
import { ExecChannel } from '../../../src/api/exec/exec-channel.ts';
import { Execs } from '../../../src/api/exec/exec-server.ts';
import { type FleetExec, type FleetExecAsked, fleetExec } from '../../../src/api/exec/fleet-exec.ts';
import type { Route } from '../../../src/api/route.ts';
import { openApi } from '../../../src/api/server.ts';
import { AttachedExec } from '../../../src/cli/fleet/exec-attached.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { ExecAsked, ExecEnd } from '../../../src/docker/exec-session.ts';
import type { AgentEvent } from '../../../src/events.ts';
import type { Fleet } from '../../../src/fleet/intents/look.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { specOf } from '../../docker/components.ts';
import { FakeEngine, type Program } from '../../docker/fake-engine.ts';
import type { FakeCommand } from '../../docker/fake-exec.ts';
import { container, host, joins, status, tells } from '../../fleet/intents/intents-ground.ts';
import { putIn } from '../../jobs/intents/intents-ground.ts';

export const KEYS = keys();

const COMMANDS: Record<string, FakeCommand> = {
  both: { out: 'out\n', err: 'err\n', exitCode: 4 },
  cat: { echoes: true },
  wait: { out: 'waits\n', waits: true },
  nosuch: { missing: 'exec: "nosuch": executable file not found in $PATH' },
};

const PROGRAM: Program = { session: ([name = '']) => COMMANDS[name] ?? {} };

export class ExecGround {
  readonly cluster = new MemoryCluster();
  readonly store = new MemoryStore(this.cluster);
  readonly fleet: Fleet = { store: this.store, keys: KEYS, now: Date.now };
  readonly #t: TestContext;

  constructor(t: TestContext, cluster?: MemoryCluster) {
    this.#t = t;
    if (cluster !== undefined) {
      this.cluster = cluster;
      this.store = new MemoryStore(cluster);
      this.fleet = { store: this.store, keys: KEYS, now: Date.now };
    }
    const file = {
      components: [
        { name: 'web', repo: 'web' },
        { name: 'db', repo: 'db' },
      ],
    };
    const at = new Date().toISOString();
    putIn(this.cluster, KEYS.project('shop').config, { format: 1, project: 'shop', file, by: 'me@test', at });
  }

  /** With so many containers of web, which serve. `answers`: what is left of its routes. */
  async agent(name: string, containers = 1, answers = (routes: readonly Route[]) => routes) {
    const engine = new FakeEngine({ program: () => PROGRAM });
    engine.addImage('app:1', 'sha256:aa');
    const events: AgentEvent[] = [];
    const ids: string[] = [];
    for (let n = 0; n < containers; n++) {
      const id = await engine.create(
        specOf({ name: 'web' }, { host: `id-of-${name}`, suffix: `${name}${n}` }),
      );
      await engine.start(id);
      ids.push(id);
    }
    const execs = new Execs({
      ...{ engine, store: this.store, keys: KEYS, project: 'shop', host: name, hostId: `id-of-${name}` },
      ...{ now: Date.now, emit: (event) => events.push(event) },
    });
    const door = peerDoor('the-token');
    const api = await openApi({ address: '127.0.0.1', port: 0, door, routes: answers(execs.routes()) });
    this.#t.after(async () => {
      await execs.close();
      await api.close();
    });
    joins(this.cluster, host(name));
    tells(this.cluster, 'web', status(name, { containers: ids.map((id) => container(1, { id })) }));
    const peer = { format: 1, host: name, address: '127.0.0.1', port: api.port, token: 'the-token' };
    putIn(this.cluster, KEYS.project('shop').peer(name), peer);
    return { engine, events, ids, execs, api };
  }

  find(over: Partial<FleetExecAsked> = {}): Promise<FleetExec> {
    const asked = { project: 'shop', component: 'web', by: 'me@test', ...over };
    return fleetExec(this.fleet, asked, AbortSignal.timeout(10_000));
  }

  async begin(asked: Partial<ExecAsked> = {}, over: Partial<FleetExecAsked> = {}): Promise<Told> {
    return new Told((await this.find(over)).socket, asked);
  }

  /** What was noted of who asked for what. */
  audit(): readonly { by: string; action: string; on: readonly string[]; detail: string }[] {
    const { entries } = this.cluster.list(KEYS.project('shop').audit());
    return entries.map(({ value }) => JSON.parse(value));
  }
}

class Sink extends Writable {
  readonly #parts: Buffer[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get text(): string {
    return this.bytes.toString();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#parts.push(chunk);
    done();
  }
}

/** A command as who asked for it sees it. */
export class Told {
  readonly stdout = new Sink();
  readonly stderr = new Sink();
  readonly stdin = new PassThrough();
  readonly channel: ExecChannel;
  readonly exec: AttachedExec;
  readonly ended: Promise<ExecEnd>;
  unsignalled = false;
  began: string | undefined;

  constructor(socket: FleetExec['socket'], asked: Partial<ExecAsked>) {
    this.channel = new ExecChannel(socket);
    this.exec = new AttachedExec({
      ...{ channel: this.channel, streams: this },
      ...(asked.input === true ? { stdin: this.stdin as Readable } : {}),
      onBegan: ({ container: id }) => {
        this.began = id;
      },
      onUnsignalled: () => {
        this.unsignalled = true;
      },
    });
    this.ended = this.exec.run({ command: ['both'], input: false, ...asked });
    this.ended.catch(() => undefined); // a test looks when it wants to
  }
}
