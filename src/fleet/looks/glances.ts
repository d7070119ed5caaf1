/**
 * What the looks of all components of a host go by, in few words for each, from one question each to the engine, the
 * proxy and the folder of the records: a hundred components at rest need not be looked at one by one to know that they are.
 * Says nothing of counts and of time, by which a component at rest does not go.
 */
import type { ProxyPort } from '../../agent/proxy-port.ts';
import { recordsVersion } from '../../agent/record-folder.ts';
import type { Container, Engine } from '../../docker/engine.ts';
import type { ProxyStatus } from '../../proxy/control/protocol.ts';

export interface GlancesInput {
  readonly project: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly engine: Pick<Engine, 'containers'>;
  readonly proxy: Pick<ProxyPort, 'status'>;
}

/** Equal words: the component is as it was. undefined: it cannot be told. */
export type Glance = (component: string) => Promise<string | undefined>;

type Words = ReadonlyMap<string, readonly string[]>;

/** All who ask in the same turn of the event loop share one look, which begins after it. */
export function glances(input: GlancesInput): Glance {
  let next: Promise<Words | undefined> | undefined;
  const begin = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    next = undefined;
    return look(input);
  };
  return async (component) => {
    next ??= begin();
    const words = await next;
    return words && [...(words.get('') ?? []), ...(words.get(component) ?? [])].join('\n');
  };
}

/** By component; what concerns all of them under ''. */
async function look(input: GlancesInput): Promise<Words | undefined> {
  const { project, hostId: host, stateDir, engine, proxy } = input;
  const [records, containers, status] = await Promise.all([
    recordsVersion(stateDir, project),
    engine.containers({ project, host }),
    proxy.status(project),
  ]);
  if (records === undefined) return undefined;
  const words = new Map<string, string[]>([['', [records, proxyWords(status, project)]]]);
  const say = (component: string, word: string) => {
    const said = words.get(component);
    if (said === undefined) words.set(component, [word]);
    else said.push(word);
  };
  for (const container of containers) say(container.component, containerWords(container));
  for (const { component, id, gone } of status.backends) if (gone === true) say(component, `${id} is gone`);
  for (const { component, address, port, kind, plane, planeWhy } of status.listeners)
    say(component, `${address} ${port} ${kind} ${plane} ${planeWhy}`);
  return words;
}

function proxyWords({ pid, startedAt, owners }: ProxyStatus, project: string): string {
  const revision = owners.find(({ owner }) => owner === project)?.revision;
  return `${pid} ${startedAt} ${revision}`;
}

/** Its labels, image and release never change. */
function containerWords({ id, name, state, health, address }: Container): string {
  return `${id} ${name} ${state} ${health} ${address}`;
}
