/** The project's config in etcd: set whole, read whole. Setting it changes nothing that runs. */
import { randomUUID } from 'node:crypto';
import { type ConfigValue, FORMAT } from '../../cluster/values.ts';
import type { StoredProject } from '../../config/stored.ts';
import { GantryError } from '../../errors.ts';
import { audited } from './audited.ts';
import { type Fleet, lookAtProject, projectUnknown } from './look.ts';
import { type Change, carryOut, MAX_BYTES } from './transact.ts';

export interface SetConfig {
  readonly project: string;
  /** Of this project, as loadForStore answers it. */
  readonly file: StoredProject;
  readonly by: string;
  /** What the one before must be; else config-changed. Absent: whatever is there. */
  readonly expected?: Expected;
}

/** Any config at all, none (0), or the one of a revision, or of one of several. */
export type Expected = 'any' | number | readonly number[];

/** Answers whether it differs from the one before. */
export async function setConfig(fleet: Fleet, { project, file, by, expected }: SetConfig): Promise<boolean> {
  const value: ConfigValue = { format: FORMAT, project, file, by, at: new Date(fleet.now()).toISOString() };
  const text = JSON.stringify(value);
  refuseLarge(project, Buffer.byteLength(text));
  const key = fleet.keys.project(project).config;
  const result = { component: project, release: 0, generation: 0 };
  const asked = { project, by, action: 'setconfig', detail: sizeOf(file), id: randomUUID() };
  const [set] = await carryOut<Change>(fleet, async (_, lost) => {
    const { config } = await lookAtProject(fleet, project);
    // Not who and when: an answer that was lost leaves the same file.
    const same = config.value !== undefined && JSON.stringify(config.value.file) === JSON.stringify(file);
    const isOurs = same && lost.size > 0;
    if (!isOurs) refuseChanged(project, config.modRevision, expected);
    if (same) return [{ result: { ...result, changed: false }, conditions: [], writes: [] }];
    return [
      {
        result: { ...result, changed: true },
        conditions: [{ key, modRevision: config.modRevision }],
        writes: [{ kind: 'put', key, value: text } as const, audited(fleet, asked)],
      },
    ];
  });
  return set?.changed === true;
}

/** project-unknown when none was set. */
export async function getConfig(fleet: Fleet, project: string): Promise<ConfigValue> {
  const look = await lookAtProject(fleet, project);
  if (look.config.value === undefined) throw projectUnknown(look);
  return look.config.value;
}

function sizeOf({ components }: StoredProject): string {
  const count = Array.isArray(components) ? components.length : 0;
  return count === 1 ? '1 component' : `${count} components`;
}

function refuseChanged(project: string, revision: number, expected: Expected = revision): void {
  if (expected === 'any' ? revision !== 0 : [expected].flat().includes(revision)) return;
  const is = revision === 0 ? 'none is set' : `it is "${revision}"`;
  throw new GantryError('config-changed', `The config of ${project} is not ${told(expected)}: ${is}`, {
    hint: 'Read it again, and make the change in that one.',
  });
}

function told(expected: Expected): string {
  if (expected === 'any') return 'there';
  const all = [expected].flat().map((revision) => `"${revision}"`);
  return all.length === 0 ? 'the one that was named' : all.join(' or ');
}

function refuseLarge(project: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new GantryError(
    'config-invalid',
    `The config of ${project} is ${bytes} bytes, more than etcd takes`,
    {
      hint: `At most ${MAX_BYTES} bytes fit into one value. Split the project.`,
    },
  );
}
