/**
 * Defects put in on purpose, each where the simulation joins the pure core: a check that never fails proves nothing.
 * By default there are none.
 */
import { plan } from '../../src/agent/plan.ts';
import { mayAdvance, nextStep } from '../../src/fleet/rollout.ts';

export interface Sabotage {
  readonly plan: typeof plan;
  readonly nextStep: typeof nextStep;
  readonly mayAdvance: typeof mayAdvance;
  /** refuseWithoutTurn is not asked. */
  readonly noFence?: true;
  /** The table is swapped before the record says who has served. */
  readonly routesFirst?: true;
  /** What is routed to containers that are gone stays in the table when one is started. */
  readonly keepsGone?: true;
  /** Jobs begin while what they end is still routed. */
  readonly jobsFirst?: true;
}

export const NOTHING_BROKEN: Sabotage = { plan, nextStep, mayAdvance };
