/** What the parts of `api` have in common: one host, an agent with its API, a token, and what is deployed. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxImage, uniqueTag } from '../../docker/images.ts';
import { type Agent, type ComponentFile, type FleetShop, openFleetShop, PROJECT } from '../../e2e/fleet.ts';
import { exitedWith } from '../../e2e/shop.ts';
import type { Cleanup } from '../../ground/harness.ts';
import type { Host } from '../../ground/hosts.ts';
import type { Place } from '../../ground/requests.ts';
import { onlyHost, type Say } from '../continuity/stage.ts';

export type { Say } from '../continuity/stage.ts';

export interface ApiStage {
  readonly shop: FleetShop;
  readonly host: Host;
  readonly agent: Agent;
  /** Of the API, and who asks it. */
  readonly door: Door;
}

export interface Door {
  readonly place: Place;
  readonly token: string;
}

export const API = `/v1/projects/${PROJECT}`;
const PORT = 7070;
const ASK_MS = 30_000;
/** What many starts at once cost is not asked here. */
const AT_A_TIME = 10;

export async function openApiStage(t: Cleanup): Promise<ApiStage> {
  const shop = await openFleetShop(t, { hosts: ['a'] });
  const host = onlyHost(shop);
  const place = { host: host.address, port: PORT };
  const agent = await shop.agent(host, '--api', `${place.host}:${place.port}`);
  const made = await host.gantryd(['token', 'create', 'bench', '--role', 'read'], { env: shop.env });
  exitedWith(0, made);
  return { shop, host, agent, door: { place, token: made.stdout.trim() } };
}

/** Sleeps, and ends at once when it is asked to. */
const QUICK = 'CMD ["sh","-c","trap exit TERM; sleep 3600 & wait"]';

/** On the host, a small image without anything to wait for. Answers its whole name. */
export async function quickImage({ host }: ApiStage): Promise<string> {
  const image = uniqueTag();
  await busyboxImage(host.docker, image, { changes: [QUICK] });
  return image;
}

/** A component of such an image, with no port and no check. */
export function quickComponent(name: string, image: string): ComponentFile {
  const [repo, tag] = image.split(':');
  return { name, repo, tag, update: { monitor: 0, keepOld: 0 } };
}

/** Sets them and starts them; answers when all serve. */
export async function deployed({ shop, host }: ApiStage, components: readonly ComponentFile[], say: Say) {
  const file = join(host.folder, 'bench.json');
  await writeFile(file, JSON.stringify({ components }));
  await shop.must('setconfig', file);
  const names = components.map(({ name }) => String(name));
  for (let begun = 0; begun < names.length; begun += AT_A_TIME) {
    const some = names.slice(begun, begun + AT_A_TIME).flatMap((name) => ['-c', name]);
    await shop.must('update', ...some, '--wait');
    say(`${Math.min(begun + AT_A_TIME, names.length)} of ${names.length} components serve`);
  }
}

/** One answer of the API, as text; throws for any status but 200. */
export async function asked({ place, token }: Door, path: string): Promise<string> {
  const answer = await fetch(`http://${place.host}:${place.port}${path}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(ASK_MS),
  });
  const text = await answer.text();
  if (answer.status === 200) return text;
  throw new Error(`${path} answered ${answer.status}: ${text}`);
}
