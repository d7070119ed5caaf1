/** Who runs the command. */
import { hostname, userInfo } from 'node:os';

/** Who asks, as history shows it. Behind sudo it is the person. */
export function whoAsks(): string {
  return `${userName()}@${hostname()}`;
}

function userName(): string {
  if (process.getuid?.() === 0 && process.env.SUDO_USER) return process.env.SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    // A user id without a name, as containers have.
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
