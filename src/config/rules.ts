/**
 * Rules a schema cannot say, over the whole project: names, ports and links that must be unique or must
 * exist. They read the raw document tolerantly, so that they speak even where the schema found problems
 * elsewhere. Rules within one component are in componentRules.ts. Pure.
 */
import { isIP } from 'node:net';
import { componentRules } from './component-rules.ts';
import { type Entry, entries, entriesOf, nameOf, repeats } from './entries.ts';
import { type Finding, type Path, pointerOf } from './problems.ts';
import { didYouMean } from './suggest.ts';

export function findRuleProblems(document: unknown): Finding[] {
  const components = entries(document, ['components']);
  return [
    ...duplicateNames(components),
    ...duplicatePorts(components),
    ...duplicateLinks(components),
    ...unknownLinks(components),
    ...components.flatMap(componentRules),
  ];
}

function duplicateNames(components: readonly Entry[]): Finding[] {
  return repeats(components, 'name', (first) => `this name is taken by ${pointerOf(first.path)}`);
}

interface Claim {
  readonly path: Path;
  readonly component: string;
  readonly port: number;
  readonly address: string;
  /** Those have ports of their own. */
  readonly isUdp: boolean;
}

function duplicatePorts(components: readonly Entry[]): Finding[] {
  const byPort = new Map<string, Claim[]>();
  const found: Finding[] = [];
  for (const claim of components.flatMap(claimsOf)) {
    const place = `${claim.port}${claim.isUdp ? '/udp' : ''}`;
    const others = byPort.get(place) ?? [];
    const first = others.find((other) => overlap(other.address, claim.address));
    if (first !== undefined) found.push({ path: claim.path, message: takenBy(first, claim) });
    byPort.set(place, [...others, claim]);
  }
  return found;
}

function claimsOf(component: Entry): Claim[] {
  return entriesOf(component, 'ports').flatMap(({ path, item }) => {
    if (typeof item.external !== 'number') return [];
    const address = typeof item.address === 'string' ? item.address : '0.0.0.0';
    const [port, isUdp] = [item.external, item.kind === 'udp'];
    return [{ path: [...path, 'external'], component: nameOf(component), port, address, isUdp }];
  });
}

function takenBy(first: Claim, claim: Claim): string {
  const addresses = first.address === claim.address ? '' : ` (${first.address} and ${claim.address} overlap)`;
  return `port ${claim.port} is taken by component "${first.component}" at ${pointerOf(first.path)}${addresses}`;
}

/** Whether two listeners of one port would get in each other's way: `::` listens on IPv4 as well. */
function overlap(a: string, b: string): boolean {
  const [left, right] = [canonical(a), canonical(b)];
  if (left === right || left === '::' || right === '::') return true;
  if (left === '0.0.0.0') return !right.includes(':');
  return right === '0.0.0.0' && !left.includes(':');
}

/** IPv6 has many spellings of one address; URL knows the shortest. */
function canonical(address: string): string {
  const plain = isIP(address) === 6 && !address.includes('%');
  return plain ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

function duplicateLinks(components: readonly Entry[]): Finding[] {
  const links = components.flatMap((component) => entriesOf(component, 'defineComponentLinks'));
  return repeats(
    links,
    'name',
    (first) => `a link of this name is defined at ${pointerOf(first.path)} already`,
  );
}

function unknownLinks(components: readonly Entry[]): Finding[] {
  const owners = new Map<string, Entry>();
  for (const component of components) {
    for (const { item } of entriesOf(component, 'defineComponentLinks')) {
      if (typeof item.name === 'string' && !owners.has(item.name)) owners.set(item.name, component);
    }
  }
  return components.flatMap((component) =>
    entriesOf(component, 'requireComponentLinks').flatMap(({ path, item }) => {
      if (typeof item.name !== 'string') return [];
      const message = linkProblem(item.name, component, owners);
      return message === undefined ? [] : [{ path: [...path, 'name'], message }];
    }),
  );
}

function linkProblem(name: string, component: Entry, owners: ReadonlyMap<string, Entry>): string | undefined {
  const owner = owners.get(name);
  if (owner === component) return 'this component defines the link itself; it cannot require it';
  if (owner !== undefined) return undefined;
  const known = [...owners.keys()];
  const list =
    known.length === 0 ? 'none is defined' : `defined are ${known.map((k) => `"${k}"`).join(', ')}`;
  return `no component defines this link; ${list}${didYouMean(name, known)}`;
}
