/**
 * A process for the lock tests: PATH TIMEOUT_MS. Says `waiting HOLDER`, `locked`, or `failed CODE`; holds the
 * lock until its stdin ends; a SIGINT is only told, as gantry's own handler does while a switch is under way.
 */
import { once } from 'node:events';
import { isGantryError } from '../src/errors.ts';
import { withLock } from '../src/lock.ts';

const [path = '', timeoutMs = '0'] = process.argv.slice(2);
process.on('SIGINT', () => say('interrupted'));
const onWait = (holder: string | undefined) => say(`waiting ${holder}`);
try {
  await withLock(path, { timeoutMs: Number(timeoutMs), onWait }, async () => {
    say('locked');
    await once(process.stdin.resume(), 'end');
  });
  say('released');
} catch (error) {
  say(`failed ${isGantryError(error) ? error.code : error}`);
}

function say(words: string): void {
  process.stdout.write(`${words}\n`);
}
