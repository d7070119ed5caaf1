/** What --since takes: so long ago, or a time. Pure. */
import { GantryError } from '../../errors.ts';

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `1h`, `2d` ago, or a time; in epoch milliseconds. Throws usage. */
export function sinceOf(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return now - Number(count) * (UNITS_MS[unit] ?? 0);
  const at = Date.parse(text);
  if (!Number.isNaN(at)) return at;
  throw new GantryError('usage', `--since ${text} is no time`, {
    hint: 'As 90s, 15m, 1h or 2d, or a time as 2030-01-31T12:00:00Z.',
  });
}
