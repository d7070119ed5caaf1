/** The project's config in etcd: set whole, read whole. Setting it changes nothing that runs. */
import { type ConfigValue, FORMAT } from '../cluster/values.ts';
import type { StoredProject } from '../config/stored.ts';
import { GantryError } from '../errors.ts';
import { type Fleet, lookAtProject, projectUnknown } from './look.ts';
import { type Change, carryOut, MAX_BYTES } from './transact.ts';

export interface SetConfig {
  readonly project: string;
  /** Of this project, as loadForStore answers it. */
  readonly file: StoredProject;
  readonly by: string;
}

/** Answers whether it differs from the one before. */
export async function setConfig(fleet: Fleet, { project, file, by }: SetConfig): Promise<boolean> {
  const value: ConfigValue = { format: FORMAT, project, file, by, at: new Date(fleet.now()).toISOString() };
  const text = JSON.stringify(value);
  refuseLarge(project, Buffer.byteLength(text));
  const key = fleet.keys.project(project).config;
  const result = { component: project, release: 0, generation: 0 };
  const [set] = await carryOut<Change>(fleet, async () => {
    const { config } = await lookAtProject(fleet, project);
    // Not who and when: an answer that was lost leaves the same file.
    const same = config.value !== undefined && JSON.stringify(config.value.file) === JSON.stringify(file);
    if (same) return [{ result: { ...result, changed: false }, conditions: [], writes: [] }];
    return [
      {
        result: { ...result, changed: true },
        conditions: [{ key, modRevision: config.modRevision }],
        writes: [{ kind: 'put', key, value: text } as const],
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
