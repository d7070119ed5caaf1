/**
 * What containers of jobs did, told by themselves: each adds the name of its run to one file that all hosts see, and
 * this process notes when it saw that.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job } from '../../../src/config/job.ts';
import { type Cleanup, tempFolder } from '../../ground/harness.ts';

const LOOK_MS = 10;
const FOLDER = '/evidence';

export interface Seen {
  readonly run: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export class Evidence {
  readonly #folder: string;
  #seen: Seen[] = [];
  #over = false;
  #looking: Promise<void> = Promise.resolve();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async gather(t: Cleanup): Promise<Evidence> {
    const folder = join(await tempFolder(t), 'evidence');
    await mkdir(folder);
    const evidence = new Evidence(folder);
    await writeFile(evidence.#file, '');
    evidence.#looking = evidence.#watch();
    t.after(() => evidence.end());
    return evidence;
  }

  get seen(): readonly Seen[] {
    return this.#seen;
  }

  /** One step that leaves its trace and ends with 0. */
  job(name: string, image: string): Job {
    const step = {
      ...{ name: 'trace', image, environment: [], output: { kind: 'stdout' as const }, refresh: false },
      command: ['sh', '-c', `echo "$GANTRYD_RUN" >> ${FOLDER}/ran`],
      mounts: [{ source: this.#folder, target: FOLDER, readOnly: false }],
      ...{ networks: ['none'], secrets: [] },
    };
    const kept = { constraints: [], retries: 0, keepMs: 86_400_000, remove: false };
    return { name, steps: [step], environment: [], ...kept };
  }

  async end(): Promise<void> {
    this.#over = true;
    await this.#looking;
  }

  get #file(): string {
    return join(this.#folder, 'ran');
  }

  async #watch(): Promise<void> {
    while (!this.#over) {
      const lines = (await readFile(this.#file, 'utf8')).split('\n').slice(0, -1);
      const at = Date.now();
      for (const run of lines.slice(this.#seen.length)) this.#seen.push({ run, at });
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}

/** Runs that left more than one trace. */
export function duplicates(seen: readonly Seen[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { run } of seen) counts.set(run, (counts.get(run) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 1).map(([run, count]) => `${run} ran ${count} times`);
}
