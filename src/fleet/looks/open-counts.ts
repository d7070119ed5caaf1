/** How many connections each container has open, as the proxy last told. */
import { isDeepStrictEqual } from 'node:util';
import type { ProxyStatus } from '../../proxy/control/protocol.ts';

export class OpenCounts {
  #status: ProxyStatus | undefined;
  #byContainer: ReadonlyMap<string, number> = new Map();

  get byContainer(): ReadonlyMap<string, number> {
    return this.#byContainer;
  }

  /** Answers whether a count is another than before. The same object says the same. */
  note(status: ProxyStatus): boolean {
    if (status === this.#status) return false;
    this.#status = status;
    const before = this.#byContainer;
    this.#byContainer = new Map(status.backends.map(({ id, open }) => [id, open]));
    return !isDeepStrictEqual(before, this.#byContainer);
  }
}
