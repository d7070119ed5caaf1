/** An engine in memory whose containers print what a test says, with the times it says. */
import type { LineQuery, LogLine } from '../../../src/docker/container-log.ts';
import { GantryError } from '../../../src/errors.ts';
import { Poke } from '../../../src/poke.ts';
import { specOf } from '../../docker/components.ts';
import { FakeEngine } from '../../docker/fake-engine.ts';

interface Log {
  readonly lines: LogLine[];
  readonly pokes: Set<Poke>;
}

/** Of that second, so long after the first. */
export function timeAt(second: number): string {
  return new Date(Date.UTC(2030, 0, 1) + second * 1000).toISOString().replace('Z', '000000Z');
}

export class PrintingEngine extends FakeEngine {
  /** Lines that a followed log loses once its container has ended. */
  lost = 0;
  /** Logs that are read now, and lines that were. */
  reading = 0;
  taken = 0;
  readonly #logs = new Map<string, Log>();
  #count = 0;

  constructor() {
    super();
    this.addImage('app:1', 'sha256:aa');
  }

  /** A container of component web, running. */
  async begin(host = 'host-1', component = 'web'): Promise<string> {
    const suffix = `c${++this.#count}`;
    const id = await this.create(specOf({ name: component }, { host, suffix }));
    this.#logs.set(id, { lines: [], pokes: new Set() });
    await this.start(id);
    return id;
  }

  print(id: string, second: number, text: string, stream: LogLine['stream'] = 'stdout'): void {
    const log = this.#logs.get(id);
    log?.lines.push({ stream, time: timeAt(second), text });
    for (const poke of log?.pokes ?? []) poke.poke();
  }

  override die(id: string): void {
    super.die(id);
    for (const poke of this.#logs.get(id)?.pokes ?? []) poke.poke();
  }

  async *lines(
    id: string,
    { follow, since = 0, tail }: LineQuery,
    signal: AbortSignal,
  ): AsyncGenerator<LogLine, void, undefined> {
    const log = this.#logs.get(id);
    if (log === undefined) throw new GantryError('container-gone', `The container ${id} is gone.`);
    const poke = new Poke();
    log.pokes.add(poke);
    this.reading += 1;
    try {
      const isFollowed = follow && this.runs(id);
      const from = log.lines.findIndex(({ time }) => Date.parse(time) >= since);
      let at = from === -1 ? log.lines.length : from;
      if (tail !== undefined) at = Math.max(at, log.lines.length - tail);
      for (;;) {
        const isOver = !isFollowed || !this.runs(id);
        const end = log.lines.length - (isFollowed && isOver ? this.lost : 0);
        for (; at < end; this.taken++) yield log.lines[at++] as LogLine;
        if (isOver || signal.aborted) return;
        poke.clear();
        await poke.wait(1_000, signal);
      }
    } finally {
      this.reading -= 1;
      log.pokes.delete(poke);
    }
  }
}
