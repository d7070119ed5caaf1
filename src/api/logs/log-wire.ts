/** How the logs of a component look on the wire, between agents and whoever asks them, and for programs. Pure. */
import type { LIVE } from './merge.ts';

/** Of a host, or of one of its containers. */
export type PeerLine =
  | {
      /** The first 12 characters of its id. */
      readonly container: string;
      readonly release: number;
      readonly stream: 'stdout' | 'stderr';
      /** ISO time with nanoseconds, as the engine noted it. */
      readonly time: string;
      readonly text: string;
    }
  /** The first: how many containers' logs follow. */
  | { readonly containers: number }
  /** What is not shown, and why. */
  | { readonly note: string; readonly container?: string };

export interface ComponentLogQuery {
  readonly follow: boolean;
  /** Epoch milliseconds. */
  readonly since?: number;
  /** Of each container. */
  readonly tail?: number;
}

/** What is told between lines that were there and lines that come. */
const LIVE_LINE = { live: true } as const;

const NAME = { type: 'string', pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,252}$' } as const;

/** The words of the query, as the routes describe them. */
export const COMPONENT_LOG_QUERY = {
  follow: { type: 'boolean', description: 'Go on with what comes, from new containers too' },
  since: {
    ...{ type: 'integer', minimum: 0, maximum: 8_640_000_000_000_000 },
    description: 'Only what was printed since, in milliseconds since 1970',
  },
  tail: {
    ...{ type: 'integer', minimum: 0, maximum: 999_999_999 },
    description: 'Begin with the last so many lines of each container',
  },
} as const;

export const HOST_QUERY = { host: { ...NAME, description: 'Only of this host' } } as const;

/** As checked against COMPONENT_LOG_QUERY. */
export function componentLogQueryOf({
  follow,
  since,
  tail,
}: Readonly<Record<string, unknown>>): ComponentLogQuery {
  return {
    follow: follow === true,
    ...(typeof since === 'number' ? { since } : {}),
    ...(typeof tail === 'number' ? { tail } : {}),
  };
}

export function componentLogPath(component: string, { follow, since, tail }: ComponentLogQuery): string {
  const words = new URLSearchParams({
    ...(follow ? { follow: '1' } : {}),
    ...(since === undefined ? {} : { since: String(Math.floor(since)) }),
    ...(tail === undefined ? {} : { tail: String(tail) }),
  });
  const path = `/v1/components/${encodeURIComponent(component)}/log`;
  return words.size === 0 ? path : `${path}?${words}`;
}

export function onWire(line: PeerLine | typeof LIVE): object {
  return line === 'live' ? LIVE_LINE : line;
}

/** undefined: no line of these logs. */
export function peerLineOf(text: string): PeerLine | typeof LIVE | 'end' | undefined {
  const line = parsed(text);
  if (line.end === true) return 'end';
  if (line.live === true) return 'live';
  const { container, release, stream, time, note, containers } = line;
  if (typeof containers === 'number') return { containers };
  if (typeof note === 'string') return typeof container === 'string' ? { note, container } : { note };
  if (typeof container !== 'string' || typeof release !== 'number' || typeof line.text !== 'string')
    return undefined;
  if ((stream !== 'stdout' && stream !== 'stderr') || typeof time !== 'string') return undefined;
  return { container, release, stream, time, text: line.text };
}

function parsed(text: string): Partial<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
