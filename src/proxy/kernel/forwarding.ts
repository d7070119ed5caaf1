/**
 * Docker drops in FORWARD what it does not know, and only its chain DOCKER-USER, which it leaves to others, can say
 * otherwise: one rule there, which lets connections with our mark pass. Where there is no such chain there is nothing
 * to say. It is put in with iptables of whichever kind, since Docker reads its chains back with that.
 */
import { readFile } from 'node:fs/promises';
import { GantryError } from '../../errors.ts';
import { type Ended, hasProgram, runCommand } from './command.ts';
import type { Nft } from './nft.ts';
import { MARK } from './ruleset.ts';

const CHAIN = 'DOCKER-USER';
const FAMILIES = [
  { command: 'iptables', family: 'ip', oldTables: '/proc/self/net/ip_tables_names' },
  { command: 'ip6tables', family: 'ip6', oldTables: '/proc/self/net/ip6_tables_names' },
];
/** Of the same name in all kinds; another process may hold the lock of the old kind for a moment. */
const PATIENTLY = ['-w', '5'];
/** Ours, or one that lets the same pass, as nft writes it. */
const OUR_RULE = new RegExp(`ct mark (and|&) ${MARK} == ${MARK} .*accept`);
/** More of one rule than anybody has put there. */
const MAX_COPIES = 16;

interface Kind {
  readonly command: string;
  readonly family: string;
  /** The old kind makes tables by being asked for them: it is asked only where they are. */
  readonly oldTables: string | undefined;
}

export class Forwarding {
  readonly #nft: Nft;
  readonly #rule: readonly string[];
  #kinds: Promise<readonly Kind[]> | undefined;

  /** `name` stands in the comment of the rule, and tells it from that of others. */
  constructor(name: string, nft: Nft) {
    this.#nft = nft;
    const marked = ['-m', 'connmark', '--mark', `${MARK}/${MARK}`];
    this.#rule = [...marked, '-m', 'comment', '--comment', name, '-j', 'ACCEPT'];
  }

  /** Puts the rule first wherever it is missing; answers whether it was. Throws GantryError proxy-failed. */
  async ensure(): Promise<boolean> {
    let missed = false;
    for (const kind of await this.#inUse()) missed = (await this.#ensure(kind)) || missed;
    return missed;
  }

  /** The same, for who asks often: no process is started where nft can see the rule, or that there is no chain. */
  async renew(): Promise<boolean> {
    let missed = false;
    for (const kind of await this.#inUse())
      if (!(await this.#isSettled(kind))) missed = (await this.#ensure(kind)) || missed;
    return missed;
  }

  /** Takes the rule out wherever it is. Throws GantryError proxy-failed. */
  async remove(): Promise<void> {
    for (const { command } of await this.#inUse()) {
      for (let copy = 0; copy < MAX_COPIES; copy++) if ((await this.#run(command, '-D')).status !== 0) break;
      const left = await this.#run(command, '-C');
      if (left.status === 0) throw failed(command, 'the rule is still there');
    }
  }

  async #ensure({ command }: Kind): Promise<boolean> {
    if ((await this.#run(command, '-C')).status === 0) return false;
    const { status, stderr } = await this.#run(command, '-I');
    if (status !== 0 && (await this.#hasChain(command))) throw failed(command, stderr);
    return status === 0;
  }

  async #isSettled({ family, oldTables }: Kind): Promise<boolean> {
    if (oldTables !== undefined) return false;
    const rules = await this.#nft.try(`list chain ${family} filter ${CHAIN}`);
    return !rules.includes(`chain ${CHAIN} {`) || OUR_RULE.test(rules);
  }

  #run(command: string, verb: string): Promise<Ended> {
    return runCommand(command, [...PATIENTLY, verb, CHAIN, ...this.#rule]);
  }

  async #hasChain(command: string): Promise<boolean> {
    return (await runCommand(command, [...PATIENTLY, '-S', CHAIN])).status === 0;
  }

  async #inUse(): Promise<readonly Kind[]> {
    this.#kinds ??= kindsHere();
    const used = await Promise.all((await this.#kinds).map(isInUse));
    return (await this.#kinds).filter((_, i) => used[i]);
  }
}

/** The kind that is the default, and the other one where it is installed as well. */
async function kindsHere(): Promise<readonly Kind[]> {
  const found: Kind[] = [];
  for (const { command, family, oldTables } of FAMILIES) {
    const { status, stdout } = await runCommand(command, ['--version']);
    if (status !== 0) continue;
    const isOld = !stdout.includes('nf_tables');
    found.push({ command, family, oldTables: isOld ? oldTables : undefined });
    const other = isOld ? `${command}-nft` : `${command}-legacy`;
    if (await hasProgram(other))
      found.push({ command: other, family, oldTables: isOld ? undefined : oldTables });
  }
  return found;
}

async function isInUse({ oldTables }: Kind): Promise<boolean> {
  if (oldTables === undefined) return true;
  const tables = await readFile(oldTables, 'utf8').catch(() => ''); // no such file: the kernel has none of them
  return tables.split('\n').includes('filter');
}

function failed(command: string, why: string): GantryError {
  const message = `${command} could not change the chain ${CHAIN}: ${why.trim()}`;
  const hint = `clients from other hosts are dropped without that rule; try \`${command} -S ${CHAIN}\` as root`;
  return new GantryError('proxy-failed', message, { hint, retryable: true });
}
