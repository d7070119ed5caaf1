/** The files of a run's log: `log.N.jsonl`, counted from 1, of which the oldest go first. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../errors.ts';

const NAME = /^log\.(\d+)\.jsonl$/;

export function segmentPath(folder: string, segment: number): string {
  return join(folder, `log.${segment}.jsonl`);
}

export function isSegment(name: string): boolean {
  return NAME.test(name);
}

/** Their numbers, the oldest first; undefined: the folder is not there. */
export async function segmentsIn(folder: string): Promise<readonly number[] | undefined> {
  try {
    const numbers = (await readdir(folder)).flatMap((name) => NAME.exec(name)?.[1] ?? []);
    return numbers.map(Number).sort((a, b) => a - b);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
