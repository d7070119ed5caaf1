/** `?wait=60s`: how long whoever asks waits for the end of what he asked for. Pure. */
import { parseDuration } from '../config/quantities.ts';
import { requestInvalid } from './problem.ts';
import type { Call } from './route.ts';

const MAX_WAIT_MS = 3_600_000;
const SECOND_MS = 1_000;

export const WAIT = {
  wait: {
    type: 'string',
    description: 'Until its end, but no longer than so: seconds, or as `90s`, `5m`; 1h at most.',
  },
} as const;

/** undefined: nobody waits. Throws request-invalid. */
export function waitMsOf(wait: Call['query'][string]): number | undefined {
  if (wait === undefined) return undefined;
  const ms = parseDuration(String(wait), SECOND_MS);
  if (ms !== undefined && ms <= MAX_WAIT_MS) return ms;
  throw requestInvalid([{ pointer: '?wait', message: 'must be seconds, or as 90s or 5m, and 1h at most' }]);
}
