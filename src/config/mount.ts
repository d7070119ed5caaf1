/** Mounts as people write them: `SOURCE=TARGET[:ro]`. Pure. */
import type { Mount } from './job.ts';

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export const MOUNT_FORM = 'must be `SOURCE=TARGET` or `SOURCE=TARGET:ro`, as "/srv/data=/data:ro"';

/** Its parts, as they are written. undefined: it has none. */
export function parseMount(text: string): Mount | undefined {
  const equals = text.indexOf('=');
  const end = /:(ro|rw)$/.exec(text);
  const source = text.slice(0, Math.max(equals, 0));
  const target = text.slice(equals + 1, end === null ? undefined : end.index);
  if (source === '' || target === '') return undefined;
  return { source, target, readOnly: end?.[1] === 'ro' };
}

export function isVolumeName(source: string): boolean {
  return VOLUME_NAME.test(source);
}

/** What is wrong with its source, once relative paths were made absolute. */
export function sourceProblem(source: string): string | undefined {
  if (source.includes(':')) return 'must not contain a colon: Docker could not tell where it ends';
  if (source.startsWith('/') || isVolumeName(source)) return undefined;
  return 'must be an absolute path on the host, or the name of a volume';
}

export function targetProblem(target: string): string | undefined {
  if (!target.startsWith('/')) return 'must be an absolute path in the container';
  if (/^\/+$/.test(target)) return 'must not be the root of the container';
  return target.includes(':') ? 'must not contain a colon' : undefined;
}

/** For comparing: `/data/` is `/data`. */
export function sameTarget(target: string): string {
  return target.replace(/(?<=.)\/+$/, '');
}
