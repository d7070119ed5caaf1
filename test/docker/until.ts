/** Waits for a condition instead of a time. */
import { setTimeout as delay } from 'node:timers/promises';

const STEP_MS = 20;

/** The first answer that is neither undefined nor false. Fails after the timeout, naming what was awaited. */
export async function until<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 60_000,
): Promise<T> {
  for (const end = Date.now() + timeoutMs; ; ) {
    const answer = await check();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await delay(STEP_MS);
  }
}
