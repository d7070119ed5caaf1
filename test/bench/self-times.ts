/** What a profile of V8's sampling profiler says: self time by function and by where the function is from. Pure. */
import type { Profiler, Runtime } from 'node:inspector';

export interface Share {
  readonly name: string;
  /** Of the time the process was not idle. */
  readonly share: number;
}

export interface SelfTimes {
  /** Of the sampled time, how much was not idle. */
  readonly busy: number;
  readonly origins: readonly Share[];
  readonly top: readonly Share[];
}

const TOP = 15;
const IDLE = '(idle)';

/** The largest first; idle time left out. */
export function selfTimes({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): SelfTimes {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const sumBy = (name: (frame: Runtime.CallFrame) => string) => {
    const times = new Map<string, number>();
    samples.forEach((id, at) => {
      const frame = frames.get(id);
      if (frame === undefined) return;
      times.set(name(frame), (times.get(name(frame)) ?? 0) + (timeDeltas[at] ?? 0));
    });
    return times;
  };
  const origins = sumBy(originOf);
  const all = sum(origins.values());
  return {
    busy: all === 0 ? 0 : 1 - (origins.get(IDLE) ?? 0) / all,
    origins: shares(origins),
    top: shares(sumBy(nameOf)).slice(0, TOP),
  };
}

function shares(times: Map<string, number>): readonly Share[] {
  times.delete(IDLE);
  const all = sum(times.values());
  const sorted = [...times].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, time]) => ({ name, share: time / all }));
}

function sum(times: Iterable<number>): number {
  return [...times].reduce((total, time) => total + time, 0);
}

/** Native functions without a file are system calls and the engine's own work. */
function originOf({ functionName, url }: Runtime.CallFrame): string {
  if (url.startsWith('node:')) return 'Node, JavaScript';
  if (url.includes('/node_modules/')) return url.replace(/^.*\/node_modules\/((?:@[^/]+\/)?[^/]+).*$/, '$1');
  if (url !== '') return 'gantryd';
  return functionName.startsWith('(') ? functionName : 'Node, native (mostly system calls)';
}

function nameOf({ functionName, url, lineNumber }: Runtime.CallFrame): string {
  const name = functionName || '(anonymous)';
  return url === '' ? name : `${name} ${url.replace(/^.*\/(node_modules|dist)\//, '')}:${lineNumber + 1}`;
}
