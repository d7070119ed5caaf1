/** What the parts of a host that runs jobs share: the store as it is seen, its lease, its clock, and who is told. */
import type { ProjectKeys } from '../cluster/keys.ts';
import type { Mirror, Session } from '../cluster/store.ts';
import type { Tell } from '../events.ts';
import type { JobClock } from './job-clock.ts';
import type { JobsHostInput } from './jobs-host.ts';
import type { JobsView } from './jobs-view.ts';

export interface Surroundings {
  readonly input: JobsHostInput;
  readonly keys: ProjectKeys;
  readonly clock: JobClock;
  readonly view: JobsView;
  readonly mirror: Mirror;
  readonly session: Session;
  readonly tell: Tell;
  readonly tellTrouble: (error: unknown) => void;
}
