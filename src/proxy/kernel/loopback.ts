/**
 * Clients on 127.0.0.1 can be led to a container only where its bridge has `route_localnet`. What is changed is written
 * down first, so that whoever removes the plane, in whichever process, puts back just that.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { writeDurably } from '../../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../../errors.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

interface Changed {
  /** A host that was started anew has forgotten all settings. */
  readonly bootId: string;
  readonly bridges: readonly string[];
}

export class Loopback {
  readonly #path: string;
  readonly #allowed = new Set<string>();

  /** `path`: the file that remembers. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Sets it for these; answers whether all of them have it now. Throws GantryError state-write. */
  async allow(bridges: Iterable<string>): Promise<boolean> {
    let all = true;
    for (const bridge of bridges) if (!this.#allowed.has(bridge)) all = (await this.#allow(bridge)) && all;
    return all;
  }

  /** Sets it again where it was lost; answers for which. */
  async renew(): Promise<string[]> {
    const lost: string[] = [];
    for (const bridge of this.#allowed) if ((await settingOf(bridge)) === '0') lost.push(bridge);
    for (const bridge of lost) await this.#allow(bridge);
    return lost;
  }

  /** Puts back what was changed, here or by an earlier process. Throws GantryError proxy-failed. */
  async restore(): Promise<void> {
    const { bridges } = await this.#remembered();
    for (const bridge of bridges) await putBack(bridge);
    await rm(this.#path, { force: true });
    this.#allowed.clear();
  }

  async #allow(bridge: string): Promise<boolean> {
    const present = await settingOf(bridge);
    if (present === undefined) return false;
    if (present === '0') {
      await this.#remember(bridge);
      const error = await writeFile(settingPath(bridge), '1').catch((e: unknown) => e);
      if (error !== undefined) return false;
    }
    this.#allowed.add(bridge);
    return true;
  }

  async #remember(bridge: string): Promise<void> {
    const { bootId, bridges } = await this.#remembered();
    if (bridges.includes(bridge)) return;
    await writeDurably(this.#path, `${JSON.stringify({ bootId, bridges: [...bridges, bridge] })}\n`);
  }

  /** A file that nobody can read says nothing: then nothing is put back. */
  async #remembered(): Promise<Changed> {
    const bootId = (await readFile(BOOT_ID, 'utf8')).trim();
    const found = parsed(await readFile(this.#path, 'utf8').catch(() => ''));
    return found?.bootId === bootId ? found : { bootId, bridges: [] };
  }
}

function parsed(text: string): Changed | undefined {
  try {
    const { bootId, bridges } = JSON.parse(text);
    return typeof bootId === 'string' && Array.isArray(bridges) ? { bootId, bridges } : undefined;
  } catch {
    return undefined;
  }
}

async function putBack(bridge: string): Promise<void> {
  await writeFile(settingPath(bridge), '0', { flag: 'r+' }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return; // the bridge is gone, and its settings with it
    const message = `route_localnet of ${bridge} could not be put back: ${messageOf(error)}`;
    const hint = `as root: sysctl -w net.ipv4.conf.${bridge}.route_localnet=0`;
    throw new GantryError('proxy-failed', message, { hint, cause: error });
  });
}

/** undefined: there is no such interface. */
async function settingOf(bridge: string): Promise<string | undefined> {
  const text = await readFile(settingPath(bridge), 'utf8').catch(() => undefined);
  return text?.trim();
}

function settingPath(bridge: string): string {
  return `/proc/sys/net/ipv4/conf/${bridge}/route_localnet`;
}
