/**
 * Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) to one follower, from its place in
 * the hub on. It is given no more than its connection takes; one that takes nothing for long is cut, and may come again
 * with the id of the last event it saw.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { within } from '../../deadline.ts';
import { Poke } from '../../poke.ts';
import type { EventHub } from './event-hub.ts';

/** Between two signs of life: shorter than what proxies on the way call idle. */
export const HEARTBEAT_MS = 15_000;
/** Whoever takes nothing for so long is gone, or too slow. */
export const STALL_MS = 30_000;

export interface Following {
  readonly hub: EventHub;
  /** undefined: only what comes from now on. */
  readonly behind: string | undefined;
  /** undefined: of all. */
  readonly component: string | undefined;
  readonly heartbeatMs?: number;
  readonly stallMs?: number;
}

/** Until aborted or cut. */
export async function stream(
  following: Following,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const { hub, heartbeatMs = HEARTBEAT_MS } = following;
  const poke = new Poke();
  hub.join(poke);
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  try {
    const send = (text: string) => sent(following, response, text, signal);
    // The first bytes tell the follower that it is heard, and how soon it is to come again.
    let goesOn = await send('retry: 2000\n: follows\n\n');
    let at: number | undefined;
    while (goesOn && !signal.aborted) {
      poke.clear();
      if (at === undefined && hub.isListed) ({ at, goesOn } = await begun(following, send));
      if (at !== undefined && goesOn) ({ at, goesOn } = await told(following, at, send));
      if (goesOn) await poke.wait(heartbeatMs, signal);
      if (goesOn && !poke.poked && !signal.aborted) goesOn = await send(': alive\n\n');
    }
    if (goesOn) response.end();
    else response.destroy();
  } finally {
    hub.leave(poke);
  }
}

type Send = (text: string) => Promise<boolean>;
type Went = { readonly at: number; readonly goesOn: boolean };

async function begun({ hub, behind }: Following, send: Send): Promise<Went> {
  if (behind === undefined) return { at: hub.end, goesOn: true };
  const { at, isWhole } = hub.behind(behind);
  return { at, goesOn: isWhole || (await send(': some that came after it are not kept any more\n\n')) };
}

/** All that there is from that place on. */
async function told({ hub, component }: Following, from: number, send: Send): Promise<Went> {
  let at = from;
  for (let frame = hub.frameAt(at); frame !== undefined; frame = hub.frameAt(at)) {
    if (frame === 'gone') return { at, goesOn: false };
    if ((component === undefined || component === frame.component) && !(await send(frame.text)))
      return { at, goesOn: false };
    at++;
  }
  return { at, goesOn: true };
}

/** False: it takes nothing, or is gone. */
async function sent(
  { stallMs = STALL_MS }: Following,
  response: ServerResponse,
  text: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (response.write(text)) return true;
  try {
    await once(response, 'drain', { signal: within(stallMs, signal) });
    return true;
  } catch {
    return false; // aborted, too slow or gone: all the same to it
  }
}
