/** What `scale` is asked for: `web=3`, `api=total:6`, `web=config`. Pure. */
import { refuseScale, type ScaleTo } from '../../agent/scale.ts';
import { GantryError } from '../../errors.ts';

const HINT = 'Write NAME=3 for each host, NAME=total:6 for all of them together, or NAME=config.';

/** By component. usage for what is none of these, or for a component that is named twice. */
export function scaleChanges(words: readonly string[]): Readonly<Record<string, ScaleTo>> {
  const changes: Record<string, ScaleTo> = {};
  for (const word of words) {
    const { name, to } = scaleChange(word);
    if (Object.hasOwn(changes, name)) throw usage(`${name} is named more than once`);
    changes[name] = to;
  }
  return changes;
}

export function scaleChange(word: string): { readonly name: string; readonly to: ScaleTo } {
  const equals = word.indexOf('=');
  const name = word.slice(0, equals);
  if (equals < 1) throw usage(`"${word}" says no number of a component`);
  const to = numberIn(word.slice(equals + 1));
  if (to === undefined) throw usage(`"${word}" says no number of ${name}`);
  refuseScale(name, to, undefined);
  return { name, to };
}

function numberIn(text: string): ScaleTo | undefined {
  if (text === 'config') return text;
  const total = /^total:(.*)$/.exec(text)?.[1];
  const digits = total ?? text;
  if (!/^[0-9]{1,15}$/.test(digits)) return undefined;
  return total === undefined ? Number(digits) : { total: Number(digits) };
}

function usage(message: string): GantryError {
  return new GantryError('usage', message, { hint: HINT });
}
