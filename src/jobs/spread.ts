/** A hash that spreads names evenly: who of several goes first, and who waits how long. Pure, the same everywhere. */

/** From 0 up to, but not including, 1; the same parts give the same. FNV-1a with MurmurHash3's last mixing. */
export function spread(...parts: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const char of parts.join('\0')) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
