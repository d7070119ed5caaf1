/**
 * Where everything is in etcd. Pure. docs/etcd-keys.md describes the same and is held to it by a test.
 *
 * The order of the names is chosen: what every agent of a project follows (components, config, connect) is one range
 * of keys, and what only some ask for (releases, status, runs, events) is outside of it, so that five hundred hosts
 * telling how they are do not wake five hundred agents.
 */
import { type Range, startingWith } from './store.ts';

export const DEFAULT_PREFIX = '/gantryd';

export interface Keys {
  readonly prefix: string;
  /** Presence of a host's agent for a project, leased. */
  host(project: string, host: string): string;
  hosts(): Range;
  /** Who may use the API. */
  token(id: string): string;
  tokens(): Range;
  /** Who made and revoked tokens; ids are in the order of time. */
  askedOfToken(id: string): string;
  tokenAudit(): Range;
  project(project: string): ProjectKeys;
  /** Of all projects, everything. */
  projects(): Range;
}

export interface ProjectKeys {
  readonly config: string;
  desired(component: string): string;
  rollout(component: string): string;
  /** How many containers of it somebody asked for, in place of what the config says. */
  scale(component: string): string;
  /** How a total is spread over the hosts. */
  shares(component: string): string;
  /** Leased. In order of creation the first `maxParallel` of a component have their turn, the others wait. */
  turn(component: string, host: string): string;
  turns(component: string): Range;
  /** Where an agent answers the others and commands, leased. */
  peer(host: string): string;
  /** Where a host offers a link, leased. */
  link(link: string, host: string): string;
  release(component: string, release: number): string;
  releases(component: string): Range;
  /** How a release fared in its rollout. */
  outcome(component: string, release: number): string;
  outcomes(component: string): Range;
  /** What a host sees of the component, leased. */
  status(component: string, host: string): string;
  statuses(component: string): Range;
  /** Of all components. */
  allStatuses(): Range;
  /** config, desired, rollout, scale, shares and turns of all components, and links: what an agent follows. */
  followed(): Range;
  /** Runs, claims, executors, schedules and cursors: what whoever runs jobs follows. */
  readonly jobs: JobKeys;
  /** Runs that have ended; outside of what is followed. Those of a schedule are `SCHEDULE.…`, in the order of their ticks. */
  ended(run: string): string;
  allEnded(): Range;
  endedOf(schedule: string): Range;
  /** What happened; ids are in the order of time. */
  event(id: string): string;
  events(): Range;
  /** Who asked for what; ids are in the order of time. */
  asked(id: string): string;
  audit(): Range;
  /** Sealed for the hosts' key. */
  secret(name: string): string;
  secrets(): Range;
  /** The public half of the hosts' key. */
  readonly secretsKey: string;
}

export interface JobKeys {
  run(id: string): string;
  runs(): Range;
  /** Leased. */
  claim(run: string): string;
  /** Leased. */
  executor(host: string): string;
  executors(): Range;
  schedule(name: string): string;
  schedules(): Range;
  cursor(schedule: string): string;
  followed(): Range;
}

export function keys(prefix: string = DEFAULT_PREFIX): Keys {
  const root = prefix.replace(/\/+$/, '');
  return {
    prefix: root,
    host: (project, host) => `${root}/hosts/${host}/${project}`,
    hosts: () => startingWith(`${root}/hosts/`),
    token: (id) => `${root}/tokens/${id}`,
    tokens: () => startingWith(`${root}/tokens/`),
    askedOfToken: (id) => `${root}/token-audit/${id}`,
    tokenAudit: () => startingWith(`${root}/token-audit/`),
    project: (project) => projectKeys(`${root}/projects/${project}`),
    projects: () => startingWith(`${root}/projects/`),
  };
}

function projectKeys(base: string): ProjectKeys {
  return {
    config: `${base}/config`,
    desired: (c) => `${base}/components/${c}/desired`,
    rollout: (c) => `${base}/components/${c}/rollout`,
    scale: (c) => `${base}/components/${c}/scale`,
    shares: (c) => `${base}/components/${c}/shares`,
    turn: (c, host) => `${base}/components/${c}/turns/${host}`,
    turns: (c) => startingWith(`${base}/components/${c}/turns/`),
    peer: (host) => `${base}/peers/${host}`,
    link: (link, host) => `${base}/connect/${link}/${host}`,
    release: (c, n) => `${base}/releases/${c}/${n}`,
    releases: (c) => startingWith(`${base}/releases/${c}/`),
    outcome: (c, n) => `${base}/outcomes/${c}/${n}`,
    outcomes: (c) => startingWith(`${base}/outcomes/${c}/`),
    status: (c, host) => `${base}/status/${c}/${host}`,
    statuses: (c) => startingWith(`${base}/status/${c}/`),
    allStatuses: () => startingWith(`${base}/status/`),
    followed: () => ({ from: `${base}/components/`, to: startingWith(`${base}/connect/`).to }),
    jobs: jobKeys(`${base}/jobs`),
    ended: (run) => `${base}/ended/${run}`,
    allEnded: () => startingWith(`${base}/ended/`),
    endedOf: (schedule) => startingWith(`${base}/ended/${schedule}.`),
    event: (id) => `${base}/events/${id}`,
    events: () => startingWith(`${base}/events/`),
    asked: (id) => `${base}/audit/${id}`,
    audit: () => startingWith(`${base}/audit/`),
    secret: (name) => `${base}/secrets/${name}`,
    secrets: () => startingWith(`${base}/secrets/`),
    secretsKey: `${base}/secrets-key`,
  };
}

function jobKeys(base: string): JobKeys {
  return {
    run: (id) => `${base}/runs/${id}`,
    runs: () => startingWith(`${base}/runs/`),
    claim: (run) => `${base}/claims/${run}`,
    executor: (host) => `${base}/executors/${host}`,
    executors: () => startingWith(`${base}/executors/`),
    schedule: (name) => `${base}/schedules/${name}`,
    schedules: () => startingWith(`${base}/schedules/`),
    cursor: (schedule) => `${base}/cursors/${schedule}`,
    followed: () => startingWith(`${base}/`),
  };
}

/** What a followed key is about. */
export type Followed =
  | { readonly kind: 'config' }
  | { readonly kind: 'desired' | 'rollout' | 'scale' | 'shares'; readonly component: string }
  | { readonly kind: 'turn'; readonly component: string; readonly host: string }
  | { readonly kind: 'link'; readonly link: string; readonly host: string };

/** undefined: not one of ours. Names cannot hold a slash, so the parts are unambiguous. */
export function followedKey(all: Keys, project: string, key: string): Followed | undefined {
  const base = `${all.prefix}/projects/${project}/`;
  if (!key.startsWith(base)) return undefined;
  const [kind, first = '', second, third, ...more] = key.slice(base.length).split('/');
  if (more.length > 0) return undefined;
  if (kind === 'config' && first === '') return { kind };
  if (kind === 'connect' && second !== undefined && third === undefined) {
    return { kind: 'link', link: first, host: second };
  }
  if (kind !== 'components') return undefined;
  if (isOfComponent(second) && third === undefined) return { kind: second, component: first };
  if (second === 'turns' && third !== undefined) return { kind: 'turn', component: first, host: third };
  return undefined;
}

function isOfComponent(word: string | undefined): word is 'desired' | 'rollout' | 'scale' | 'shares' {
  return word !== undefined && ['desired', 'rollout', 'scale', 'shares'].includes(word);
}

/** The part after the last slash: host or release number of a status, turn, link, release or outcome. */
export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}
