/** Where the state directory is when nobody says. By itself, since a command that must be quick asks it alone. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** /var/lib/gantryd for root, else gantryd in the XDG state folder. */
export function defaultStateDir(
  uid: number = process.getuid?.() ?? 0,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (uid === 0) return '/var/lib/gantryd';
  const xdg = env.XDG_STATE_HOME;
  // The XDG base directory specification has relative paths ignored.
  const base = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.local', 'state');
  return join(base, 'gantryd');
}
