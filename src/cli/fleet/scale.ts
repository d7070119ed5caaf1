/** `gantryd scale`: asks for other numbers of the same, and waits for them where that is asked. */
import { instancesWords } from '../../agent/scale.ts';
import { type Scaled, scale } from '../../fleet/scale/scale.ts';
import { untilScaled } from '../../fleet/scale/scale-wait.ts';
import { whoAsks, withFleet } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { outputOf } from '../output.ts';
import { DEFAULT_TIMEOUT_S, type ScaleArguments } from './options.ts';
import { scaleChanges } from './scale-words.ts';
import { concluded } from './wait.ts';

export async function runScale(args: ScaleArguments): Promise<number> {
  const output = outputOf(args);
  const { project, wait, timeout = DEFAULT_TIMEOUT_S } = args;
  const changes = scaleChanges(args.changes);
  await withFleet(args, async (fleet) => {
    const scaled = await scale(fleet, { project, changes, by: whoAsks() });
    output.document({ project, components: scaled }, scaled.map(words).join('\n'));
    if (!wait) return;
    const waitMs = timeout === 0 ? Number.POSITIVE_INFINITY : timeout * 1000;
    const endings = await interruptible(async (signal) => {
      const found = await untilScaled(fleet, { project, targets: scaled, waitMs }, signal);
      return signal.aborted ? undefined : found;
    });
    concluded(endings, project, output);
  });
  return 0;
}

function words({ component, instances, changed }: Scaled): string {
  const number = typeof instances === 'number' ? `${instances} on each host` : instancesWords(instances);
  return `Component ${component} -> ${number}${changed ? '' : ' already'}`;
}
