/** How often what goes wrong, in a thousand calls. */
export interface Odds {
  /** Of calls that change something. */
  readonly effects: readonly (readonly [Exclude<EffectFate, 'done'>, number])[];
  readonly readFails: number;
  readonly hintLost: number;
}

/**
 * `fails`: nothing happened, and that is told. `lost`: it happened, and an error is told. `hangs`: nothing is told
 * until the deadline. `slow`: it happens later. `stops`: the
 * process is stopped for a while, right after it. `dies`: the process that asked does, before or after it happened.
 */
export type EffectFate =
  | 'done'
  | 'fails'
  | 'lost'
  | 'hangs'
  | 'hangs, done'
  | 'slow'
  | 'stops after'
  | 'dies before'
  | 'dies after';

export const NO_FAULTS: Odds = { effects: [], readFails: 0, hintLost: 0 };

export const STORM: Odds = {
  effects: [
    ['fails', 15],
    ['lost', 15],
    ['hangs', 5],
    ['hangs, done', 5],
    ['slow', 20],
    ['stops after', 8],
    ['dies before', 8],
    ['dies after', 12],
  ],
  readFails: 4,
  hintLost: 100,
};
