/**
 * How much memory a process that stays keeps for objects that die young. By default V8 lets it grow to 33 MB (Node 20)
 * or 67 MB (Node 24) under load and never gives it back, where a tenth does: little of what agents and proxies
 * make outlives the request or the look that it was made for. One thread collects what is left of so little in less
 * time than it takes to wake others for it.
 */
import { setFlagsFromString } from 'node:v8';

let small = false;

/** From now on it does not grow any more. To be called early. Where V8 does not know the flag, nothing changes. */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-parallel-scavenge');
  small = true;
}

export function isYoungHeapSmall(): boolean {
  return small;
}
