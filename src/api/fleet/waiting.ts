/** `?wait=` on what changes what runs: it is followed to its end, which is the answer. */
import type { DesiredStatus } from '../../cluster/values.ts';
import { GantryError } from '../../errors.ts';
import type { Change } from '../../fleet/intents/transact.ts';
import { follow } from '../../fleet/reports/follow.ts';
import { waitFailure } from '../../fleet/reports/wait-failure.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Reply } from '../route.ts';

export interface Asked {
  readonly changes: readonly Change[];
  readonly warnings?: readonly string[];
  readonly status: DesiredStatus;
}

/**
 * 202 with what was asked for; with `waitMs` 200 when it is done. Throws what it failed with, wait-over when the time
 * is.
 */
export async function answerOf(
  around: ApiAround,
  { params, signal }: Call,
  { changes, warnings, status }: Asked,
  waitMs: number | undefined,
): Promise<Reply> {
  const { project = '' } = params;
  const told = { project, components: changes, ...(warnings === undefined ? {} : { warnings }) };
  if (waitMs === undefined) return { status: 202, body: told };
  const targets = changes
    .filter((change) => change.generation > 0)
    .map(({ component, release, generation }) => ({ component, release, generation, status }));
  if (targets.length === 0) return { status: 200, body: { ...told, endings: [] } };
  const input = { project, targets, timeoutMs: waitMs, emit: () => {}, progress: () => {} };
  const endings = await follow(around, input, signal);
  if (endings === undefined) throw new GantryError('interrupted', 'nobody waits any more; it goes on');
  const failure = waitFailure(endings, project);
  if (failure !== undefined) throw failure;
  const rows = endings.map(({ component, outcome, why }) => ({ component, outcome, why }));
  return { status: 200, body: { ...told, endings: rows } };
}
