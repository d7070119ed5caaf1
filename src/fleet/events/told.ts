/**
 * What is kept of what happened and of who asked for it, for whoever reads it: listed in the order of time, and
 * followed as it comes. Reads only.
 */
import { type AuditValue, type EventValue, readAudit, readEvent } from '../../cluster/event-values.ts';
import { type Keys, lastPart } from '../../cluster/keys.ts';
import { timeOfId, timePart } from '../../cluster/newest.ts';
import type { Entry, Mirror, Range, Store } from '../../cluster/store.ts';
import { type Fleet, lookAtProject, projectUnknown } from '../intents/look.ts';

export type Told =
  | { readonly kind: 'event'; readonly id: string; readonly value: EventValue }
  | { readonly kind: 'asked'; readonly id: string; readonly value: AuditValue };

export interface Asking {
  readonly project: string;
  /** []: of all, and of none. */
  readonly components: readonly string[];
  /** Epoch milliseconds; undefined: all that are kept. */
  readonly since?: number | undefined;
  /** Who asked for what, too. */
  readonly audit: boolean;
  /** Also who made and revoked tokens, which are of no project. */
  readonly tokens?: boolean;
}

/** In the order of time; what cannot be read is left out. */
export async function listTold(store: Store, keys: Keys, asking: Asking): Promise<readonly Told[]> {
  const listed = await Promise.all(rangesOf(keys, asking).map((range) => store.list(since(range, asking))));
  return toldOf(
    listed.flatMap(({ entries }) => entries),
    asking,
  );
}

/** project-unknown when there is neither a config nor anything told: a name that was mistyped. */
export async function refuseUnknown(fleet: Fleet, project: string): Promise<void> {
  const { store, keys } = fleet;
  const at = keys.project(project);
  const [config, ...counts] = await Promise.all([
    store.get(at.config),
    store.count(at.events()),
    store.count(at.audit()),
  ]);
  if (config === undefined && counts.every((count) => count === 0))
    throw projectUnknown(await lookAtProject(fleet, project));
}

/** Calls with what there is, in the order of time, and then with what comes, each once. Whoever follows closes it. */
export function followTold(
  store: Store,
  keys: Keys,
  asking: Asking,
  onTold: (told: readonly Told[]) => void,
): { close(): void } {
  const ranges = rangesOf(keys, asking);
  const unheard = new Set(ranges);
  let first: readonly Entry[] = [];
  const mirrors = ranges.map((range) =>
    followNew(store, since(range, asking), (entries) => {
      const isFirst = unheard.delete(range) || unheard.size > 0;
      if (isFirst) first = [...first, ...entries];
      if (unheard.size > 0) return;
      onTold(toldOf(isFirst ? first : entries, asking));
      first = [];
    }),
  );
  return {
    close() {
      for (const mirror of mirrors) mirror.close();
    },
  };
}

/**
 * Calls with each entry of the range once, those that are there first, if only with none; in the order in which they
 * were written.
 */
export function followNew(store: Store, range: Range, onNew: (entries: readonly Entry[]) => void): Mirror {
  const seen = new Set<string>();
  const mirror: Mirror = store.follow({
    range,
    onChange(changed) {
      const there = (changed ?? [...mirror.entries.keys()]).flatMap((key) => mirror.entries.get(key) ?? []);
      const fresh = there.filter(({ key }) => !seen.has(key));
      for (const { key } of fresh) seen.add(key);
      for (const key of changed ?? [...seen]) if (!mirror.entries.has(key)) seen.delete(key);
      // A range without anything tells only that it is current.
      const isHeard = changed === undefined || (changed.length === 0 && mirror.current);
      if (fresh.length > 0 || isHeard) onNew(fresh.sort(inOrder));
    },
  });
  return mirror;
}

/** For programs. */
export function rowOf({ kind, id, value }: Told): object {
  const { format: _, ...row } = value;
  return kind === 'event' ? { id, ...row } : { id, kind: 'asked', ...row };
}

function concerns({ kind, value }: Told, components: readonly string[]): boolean {
  if (components.length === 0) return true;
  return components.some((name) => (kind === 'event' ? value.component === name : value.on.includes(name)));
}

function inOrder(a: Entry, b: Entry): number {
  return a.modRevision - b.modRevision || (a.key < b.key ? -1 : 1);
}

function rangesOf(keys: Keys, { project, audit, tokens }: Asking): readonly Range[] {
  const at = keys.project(project);
  return [
    at.events(),
    ...(audit ? [at.audit()] : []),
    ...(audit && tokens === true ? [keys.tokenAudit()] : []),
  ];
}

/** Ids begin with their time: what is older is not even read. */
function since({ from, to }: Range, { since: at }: Asking): Range {
  return at === undefined ? { from, to } : { from: `${from}${timePart(at)}`, to };
}

/** In the order of time; what cannot be read is left out. */
export function toldOf(
  entries: readonly Entry[],
  { components }: Pick<Asking, 'components'>,
): readonly Told[] {
  const told = entries.flatMap((entry): Told[] => {
    const id = lastPart(entry.key);
    const event = readEvent(entry);
    if (event !== undefined) return [{ kind: 'event', id, value: event }];
    const asked = readAudit(entry);
    return asked === undefined ? [] : [{ kind: 'asked', id, value: asked }];
  });
  return told
    .filter((one) => !Number.isNaN(timeOfId(one.id)) && concerns(one, components))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
