/**
 * How long a component is without a container that died, or that became unhealthy, by the clock of the machine: the
 * engine's events and the agent's. Every failure is the first of its release, so that no backoff is measured.
 */
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { LABELS } from '../../../src/docker/spec.ts';
import { type Agent, type FleetShop, openFleetShop, WAIT_MS } from '../../e2e/fleet.ts';
import type { Event } from '../../e2e/shop.ts';
import { getText } from '../../e2e/shop.ts';
import { dockerCall } from '../../ground/docker.ts';
import { type Cleanup, until } from '../../ground/harness.ts';
import type { Host } from '../../ground/hosts.ts';
import { askVersion, onlyHost, proxyPid, type Say, WEB } from './stage.ts';

export interface HealingOptions {
  readonly deaths: number;
  readonly illnesses: number;
  readonly say: Say;
}

export interface Healing {
  readonly deaths: readonly Death[];
  readonly illnesses: readonly Illness[];
  /** Milliseconds from a SIGKILL of the proxy to the first whole answer through the next one. */
  readonly proxies: readonly number[];
}

/** Milliseconds from the engine's event of the death. */
export interface Death {
  readonly toCreated: number;
  readonly toStarted: number;
  readonly toSwitched: number;
}

/** Milliseconds from when the application is told to be unhealthy. */
export interface Illness {
  readonly toJudged: number;
  readonly toCreated: number;
  readonly toReady: number;
  readonly toSwitched: number;
}

const HTTP_PORT = 8080;
const HEALED_MS = 60_000;
/** Its own way of asking: five seconds between two, three in a row. */
const HEALTH = { kind: 'http', path: '/health', port: HTTP_PORT };
const FIELDS = { readyTimeout: 60_000, healthChecks: [HEALTH], update: { monitor: 0, keepOld: 0 } };

export async function measureHealing(
  t: Cleanup,
  { deaths, illnesses, say }: HealingOptions,
): Promise<Healing> {
  const shop = await openFleetShop(t, { hosts: ['a'] });
  const host = onlyHost(shop);
  const agent = await shop.agent(host);
  const events = new EngineEvents(t, host);
  const healing = { deaths: [] as Death[], illnesses: [] as Illness[], proxies: [] as number[] };
  for (let round = 1; round <= deaths; round++) {
    await shop.deploy(`killed${round}`, FIELDS);
    healing.deaths.push(await died(host, agent, events));
    say(`death ${round} of ${deaths}: started after ${Math.round(healing.deaths.at(-1)?.toStarted ?? 0)} ms`);
  }
  for (let round = 1; round <= illnesses; round++) {
    await shop.deploy(`broken${round}`, FIELDS);
    healing.illnesses.push(await fellIll(shop, agent));
    const tookMs = Math.round(healing.illnesses.at(-1)?.toSwitched ?? 0);
    say(`unhealthy ${round} of ${illnesses}: replaced after ${tookMs} ms`);
  }
  for (let round = 1; round <= deaths; round++) {
    healing.proxies.push(await proxyKilled(shop));
    say(`proxy ${round} of ${deaths}: answers after ${Math.round(healing.proxies.at(-1) ?? 0)} ms`);
  }
  return healing;
}

/** Clients find nobody who listens until the standby has taken over. */
async function proxyKilled(shop: FleetShop): Promise<number> {
  const host = onlyHost(shop);
  const pid = await proxyPid(host);
  const place = shop.http(host);
  process.kill(pid, 'SIGKILL');
  const killedAt = performance.now();
  const answers = () => askVersion(place).then(() => performance.now() - killedAt);
  return until(answers, { timeoutMs: WAIT_MS, what: 'the next proxy to answer' });
}

async function died(host: Host, agent: Agent, events: EngineEvents): Promise<Death> {
  const killed = await serving(host);
  await dockerCall('POST', `/containers/${killed}/kill?signal=KILL`, undefined, [204], host.docker);
  const diedAt = await events.of('die', (id) => id === killed);
  const switched = await told(agent, 'switched', diedAt, (event) => servesInstead(event, killed));
  const [replacement = ''] = containersOf(switched);
  const since = async (action: EngineAction) =>
    (await events.of(action, (id) => id === replacement)) - diedAt;
  return {
    toCreated: await since('create'),
    toStarted: await since('start'),
    toSwitched: Number(switched.at) - diedAt,
  };
}

async function fellIll(shop: FleetShop, agent: Agent): Promise<Illness> {
  const host = onlyHost(shop);
  const ill = await serving(host);
  const toldAt = Date.now();
  await getText(shop.http(host), '/break');
  const judged = await told(agent, 'health-changed', toldAt, ({ now }) => now === 'unhealthy');
  const switched = await told(agent, 'switched', toldAt, (event) => servesInstead(event, ill));
  const isNew = ({ container }: Event) => containersOf(switched).includes(String(container));
  const created = await told(agent, 'container-created', toldAt, isNew);
  const ready = await told(agent, 'container-ready', toldAt, isNew);
  return {
    toJudged: Number(judged.at) - toldAt,
    toCreated: Number(created.at) - toldAt,
    toReady: Number(ready.at) - toldAt,
    toSwitched: Number(switched.at) - toldAt,
  };
}

/** The only container that runs, once those of the release before are gone. */
async function serving(host: Host): Promise<string> {
  const only = async () => {
    const found = await host.containers({ [LABELS.component]: WEB });
    return found.length === 1 ? found[0]?.id : undefined;
  };
  return until(only, { timeoutMs: WAIT_MS, what: 'only the new container to be there' });
}

/** The first event of a kind since a moment for which `holds`. */
function told(agent: Agent, kind: string, since: number, holds: (event: Event) => boolean): Promise<Event> {
  const found = () => agent.events(kind).find((event) => Number(event.at) >= since && holds(event));
  return until(found, { timeoutMs: HEALED_MS, what: `the agent to tell ${kind}` });
}

/** That another container alone serves: before it, perhaps, none did. */
function servesInstead(event: Event, gone: string): boolean {
  const [only, ...more] = containersOf(event);
  return only !== undefined && only !== gone && more.length === 0;
}

function containersOf({ containers }: Event): readonly string[] {
  return containers as readonly string[];
}

interface EngineEvent {
  readonly Action: string;
  readonly Actor: { readonly ID: string };
  readonly timeNano: number;
}

type EngineAction = 'create' | 'start' | 'die';

/** What the engine says of containers, and when by its own clock, which is the machine's. */
class EngineEvents {
  readonly #seen: { readonly action: string; readonly id: string; readonly at: number }[] = [];

  constructor(t: Cleanup, host: Host) {
    const filters = JSON.stringify({ type: ['container'], event: ['create', 'start', 'die'] });
    const path = `/events?filters=${encodeURIComponent(filters)}`;
    const ended = () => undefined; // who waits for an event then waits in vain, and says so
    const asked = request({ socketPath: host.docker.slice('unix://'.length), path });
    asked.once('response', (answer) => {
      createInterface({ input: answer })
        .on('line', (line) => this.#note(JSON.parse(line)))
        .on('error', ended);
      answer.on('error', ended);
    });
    asked.on('error', ended).end();
    t.after(() => void asked.destroy());
  }

  /** Epoch milliseconds of the first such event. */
  async of(action: EngineAction, holds: (id: string) => boolean): Promise<number> {
    const found = () => this.#seen.find((event) => event.action === action && holds(event.id))?.at;
    return until(found, { timeoutMs: HEALED_MS, what: `the engine to tell ${action}` });
  }

  #note({ Action: action, Actor, timeNano }: EngineEvent): void {
    this.#seen.push({ action, id: Actor.ID, at: timeNano / 1e6 });
  }
}
