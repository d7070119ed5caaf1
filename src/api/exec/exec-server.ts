/**
 * Commands that are run in the containers of this host for who asks its agent: who asks is noted before, and a command
 * does not outlive who asked for it, nor the agent, where its processes can be signalled from here.
 */
import { randomUUID } from 'node:crypto';
import { auditWrite, pruneAudited } from '../../cluster/audit.ts';
import type { Keys } from '../../cluster/keys.ts';
import type { Store } from '../../cluster/store.ts';
import type { Container, Engine } from '../../docker/engine.ts';
import type { ExecAsked } from '../../docker/exec-session.ts';
import { GantryError, messageOf } from '../../errors.ts';
import { short } from '../../event-words.ts';
import type { AgentEvent } from '../../events.ts';
import type { Call, Route } from '../route.ts';
import { ExecChannel } from './exec-channel.ts';
import { RunningExec } from './exec-running.ts';
import { askedOf, EXEC_PROTOCOL, type ExecFrame, failedFrame } from './exec-wire.ts';

/** At once: each costs a connection to the engine. */
export const MAX_EXECS = 16;
const ASKED_MS = 10_000;

export interface ExecsHere {
  readonly engine: Pick<Engine, 'containers' | 'openExec'>;
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly emit: (event: AgentEvent) => void;
}

interface Place {
  readonly component: string;
  readonly container: Container;
  readonly by: string;
}

export class Execs {
  readonly #here: ExecsHere;
  readonly #open = new Set<Promise<void>>();
  readonly #ending = new AbortController();

  constructor(here: ExecsHere) {
    this.#here = here;
  }

  routes(): readonly Route[] {
    const NAME = { type: 'string', minLength: 1, maxLength: 300 } as const;
    return [
      {
        ...{ method: 'GET', path: '/v1/components/:component/exec', access: 'peer', tag: 'peers' },
        ...{ summary: 'Run a command in one of its containers on this host', upgrade: EXEC_PROTOCOL },
        query: {
          container: { ...NAME, description: 'Its whole id' },
          by: { ...NAME, description: 'Who asks, for the audit' },
        },
        answer: { status: 101 },
        handle: (call) => this.#handle(call),
      },
    ];
  }

  /** Ends what runs, and tells who asked for it. Takes no more from then on. */
  async close(): Promise<void> {
    this.#ending.abort(agentEnds(this.#here.host));
    await Promise.all(this.#open);
  }

  async #handle(call: Call): Promise<undefined> {
    this.#ending.signal.throwIfAborted();
    if (this.#open.size >= MAX_EXECS) throw tooMany();
    const running = this.#run(call);
    const over = running.catch(() => undefined);
    this.#open.add(over);
    void over.finally(() => this.#open.delete(over));
    await running;
    return undefined;
  }

  /** Throws as long as the connection has not gone over; from then on what goes wrong is told on it. */
  async #run(call: Call): Promise<void> {
    const { component = '' } = call.params;
    const { container = '', by = 'peer' } = call.query;
    const place = {
      component,
      container: await this.#container(component, String(container)),
      by: String(by),
    };
    const socket = call.upgrade?.();
    if (socket === undefined) return;
    const channel = new ExecChannel(socket);
    try {
      await this.#serve(channel, place);
    } catch (error) {
      channel.sendLast(failedFrame(error));
    } finally {
      await channel.end();
    }
  }

  /** Throws container-gone. */
  async #container(component: string, id: string): Promise<Container> {
    const { engine, project, hostId } = this.#here;
    const all = await engine.containers({ project, component, host: hostId });
    const container = all.find((each) => each.id === id);
    if (container?.state === 'running') return container;
    throw notRunning(component, id, this.#here.host);
  }

  async #serve(channel: ExecChannel, { component, container, by }: Place): Promise<void> {
    const { engine, host, now, emit } = this.#here;
    const frames = channel.frames();
    const asked = askedOf(await first(frames, channel));
    await this.#audit({ component, container, by }, asked);
    const session = await engine.openExec(container.id, asked);
    const of = { component, container: container.id, by, program: asked.command[0] ?? '' };
    emit({ kind: 'exec-started', ...of, at: now() });
    await channel.send('began', JSON.stringify({ host, container: container.id }));
    const running = new RunningExec(channel, session, asked.terminal !== undefined);
    try {
      const outcome = await running.run(frames, this.#ending.signal);
      emit({ kind: 'exec-ended', ...of, ...outcome, at: now() });
    } catch (error) {
      emit({ kind: 'exec-ended', ...of, left: true, why: messageOf(error), at: now() });
      throw error;
    }
  }

  /** Nothing is run that could not be noted. Never with the values of variables. */
  async #audit({ component, container, by }: Place, { command }: ExecAsked): Promise<void> {
    const { store, keys, project, host, now } = this.#here;
    const detail = `${host}/${short(container.id)}: ${command.join(' ')}`;
    const entry = { by, action: 'exec', on: [component], detail, at: now(), id: randomUUID() };
    const writes = [auditWrite(keys.project(project), entry)];
    await store.commit([], writes);
    await pruneAudited(store, writes).catch(() => undefined); // for the next one to see to
  }
}

async function first(frames: AsyncGenerator<ExecFrame, void, undefined>, channel: ExecChannel) {
  const timer = setTimeout(() => channel.close(), ASKED_MS);
  try {
    const { value } = await frames.next();
    if (value !== undefined) return value;
  } finally {
    clearTimeout(timer);
  }
  throw new GantryError('interrupted', 'whoever asked went away before saying what for');
}

function tooMany(): GantryError {
  return new GantryError('too-many', `${MAX_EXECS} commands are run in containers of this host already`, {
    hint: 'Ask again when one of them has ended.',
    retryable: true,
  });
}

function notRunning(component: string, id: string, host: string): GantryError {
  return new GantryError('container-gone', `no container ${short(id)} of ${component} runs on ${host}`, {
    hint: 'gantryd list PROJECT --hosts shows what runs where.',
    retryable: true,
  });
}

function agentEnds(host: string): GantryError {
  return new GantryError('interrupted', `the agent of ${host} ends, and the command with it`, {
    hint: 'Once it runs again, give the command again.',
  });
}
