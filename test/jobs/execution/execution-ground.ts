/** What the tests of executions stand on: a real engine, images of busybox, a state directory of their own. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunEnd, RunInput, RunValue, StepStatus } from '../../../src/cluster/job-values.ts';
import type { Job, Step } from '../../../src/config/job.ts';
import { openJobEngine } from '../../../src/docker/dockerode.ts';
import type { JobEngine } from '../../../src/docker/job-engine.ts';
import { outputOf, type RunFolder, runFolder } from '../../../src/jobs/disk/run-folder.ts';
import { type LogEntry, readRunLog } from '../../../src/jobs/disk/run-log.ts';
import { type ExecutionInput, execute, type Printed } from '../../../src/jobs/execution/execution.ts';
import { busyboxImage, removeImage, uniqueTag } from '../../docker/images.ts';
import { ENGINE_ADDRESS, shell } from '../../docker/real-ground.ts';
import { aJob, aStep } from '../job-values.ts';

export const HOST = { host: 'h1', hostId: 'test-host' };

export interface Going {
  readonly input: ExecutionInput;
  readonly folder: RunFolder;
  readonly printed: Printed[];
  /** The newest. */
  steps(): readonly StepStatus[];
  leave(): void;
  cancel(why: string): void;
}

export class ExecutionGround {
  readonly image = uniqueTag();
  readonly project = `t${randomBytes(4).toString('hex')}`;
  /** From setUp on. */
  stateDir = '';
  readonly engine: JobEngine = openJobEngine(ENGINE_ADDRESS === undefined ? {} : { address: ENGINE_ADDRESS });
  #runs = 0;

  async setUp(): Promise<void> {
    this.stateDir = mkdtempSync(join(tmpdir(), 'gantryd-execution-'));
    await busyboxImage(ENGINE_ADDRESS, this.image);
  }

  async tearDown(): Promise<void> {
    for (const { id } of await this.engine.jobContainers({ project: this.project }))
      await this.engine.remove(id);
    await removeImage(ENGINE_ADDRESS, this.image);
    this.engine.close();
    rmSync(this.stateDir, { recursive: true, force: true });
  }

  step(script: string, over: Partial<Step> = {}): Step {
    return aStep({ image: this.image, command: shell(script), ...over });
  }

  run(job: Partial<Job>, over: Partial<RunValue> = {}): RunValue {
    this.#runs++;
    const whole = aJob(job);
    return {
      ...{ format: 1, id: `run-${this.#runs}`, job: whole, input: { kind: 'none' }, by: 'me@here', at: '' },
      ...{ state: 'running', attempt: 1, ...HOST, past: [] },
      steps: whole.steps.map(() => ({ state: 'waiting' })),
      ...over,
    };
  }

  going(run: RunValue, over: Partial<ExecutionInput> = {}): Going {
    const [cancelled, left] = [new AbortController(), new AbortController()];
    const printed: Printed[] = [];
    let steps: readonly StepStatus[] = [];
    const input: ExecutionInput = {
      ...{ run, project: this.project, ...HOST, stateDir: this.stateDir, engine: this.engine },
      secrets: NO_SECRETS,
      secretFiles: NO_FILES,
      onSteps: (now) => {
        steps = now;
      },
      onPrinted: (piece) => {
        printed.push(piece);
      },
      ...{ cancelled: cancelled.signal, left: left.signal, now: Date.now },
      ...over,
    };
    const folder = runFolder(this.stateDir, this.project, run.id);
    const [leave, cancel] = [() => left.abort(), (why: string) => cancelled.abort(why)];
    return { input, folder, printed, steps: () => steps, leave, cancel };
  }

  containers(run: RunValue) {
    return this.engine.jobContainers({ project: this.project, run: run.id });
  }
}

/** Nothing of it is left behind but its folder. */
export async function executed({ input }: Going): Promise<RunEnd | undefined> {
  const end = await execute(input);
  const { engine, project, run } = input;
  if (end !== undefined) assert.deepEqual(await engine.jobContainers({ project, run: run.id }), []);
  return end;
}

export const NO_SECRETS: ExecutionInput['secrets'] = {
  values: async () => new Map(),
  auth: async () => ({}),
};

export const NO_FILES: ExecutionInput['secretFiles'] = {
  place: async () => [],
  remove: async () => {},
  keepOnly: async () => {},
};

export function inline(bytes: Buffer | string): RunInput {
  return { kind: 'inline', base64: Buffer.from(bytes).toString('base64') };
}

export async function outputBytes(folder: RunFolder): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of (await outputOf(folder)).bytes) parts.push(part);
  return Buffer.concat(parts);
}

export async function logOf(folder: RunFolder): Promise<readonly LogEntry[]> {
  const entries: LogEntry[] = [];
  const reading = readRunLog(folder, { follow: false }, new AbortController().signal);
  for await (const { entry } of reading) entries.push(entry);
  return entries;
}

export function bytesOf(entries: readonly LogEntry[], stream: LogEntry['stream'], step?: number): Buffer {
  const own = entries.filter((entry) => entry.stream === stream && (step ?? entry.step) === entry.step);
  return Buffer.concat(
    own.map(({ text, base64 }) =>
      text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text),
    ),
  );
}
