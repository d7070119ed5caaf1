/** Who runs the command. */
import { hostname, userInfo } from 'node:os';

/** Who asks, as history shows it. Behind sudo it is the person. */
export function whoAsks(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return `${userName(env.SUDO_USER)}@${hostname()}`;
}

function userName(behindSudo: string | undefined): string {
  if (process.getuid?.() === 0 && behindSudo) return behindSudo;
  try {
    return userInfo().username;
  } catch {
    // A user id without a name, as containers have.
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
