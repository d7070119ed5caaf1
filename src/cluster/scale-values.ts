/** What the keys hold about how many containers there are to be, and where. As values.ts. Pure. */
import { count, each, fields, optional, reader, record, type Shape, text } from './value-reader.ts';

/** So many on each host, or so many in all, spread over them. */
export type Instances = number | { readonly total: number };

/** Asked for by `scale`, until a release says another number than the one before it did. */
export interface ScaleValue {
  readonly format: 1;
  readonly instances: Instances;
  /** It is to be as the releases say: `instances` is what the desired one said then. */
  readonly config?: true;
  /** Grows with every change: a host that has followed it follows no lower one. */
  readonly number: number;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** Of the command that wrote it. */
  readonly id?: string;
}

/** How many containers of a component that has a total are whose. Decided by whichever host sees first that it should change. */
export interface SharesValue {
  readonly format: 1;
  /** Grows with every decision: a host that has followed it follows no lower one. */
  readonly number: number;
  readonly total: number;
  /** By host. One that is not there keeps what it has until it is. */
  readonly shares: Readonly<Record<string, number>>;
  /** What they become once the hosts that are to have more now have arrived there; absent: nothing is to follow. */
  readonly next?: Readonly<Record<string, number>>;
  /** The hosts that have their greater share already; only with `next`. */
  readonly arrived?: readonly string[];
  /** Hosts that could not have as many as they should in time, and what they have: the others have the rest for a while. */
  readonly late?: Readonly<Record<string, number>>;
  /** The host that decided. */
  readonly host: string;
  readonly why: string;
  /** ISO time. */
  readonly at: string;
}

export const SCALE: Shape = {
  instances: (v) => count(v) || fields({ total: count })(v),
  config: optional((v) => v === true),
  number: count,
  by: text,
  at: text,
};

export const readScale = reader<ScaleValue>(SCALE);

export const readShares = reader<SharesValue>({
  number: count,
  total: count,
  shares: record(count),
  next: optional(record(count)),
  arrived: optional(each(text)),
  late: optional(record(count)),
  host: text,
  why: text,
  at: text,
});
