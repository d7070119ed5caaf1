/**
 * One watch on one range, on a stream of its own, from its creation to whatever ends it. It is told to begin with
 * what comes next; starting anew is the mirror's affair.
 */
import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { GantryError } from '../../errors.ts';
import type { Range } from '../store.ts';
import { rangeRequest } from './etcd-requests.ts';

type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;

export class Watch {
  /** Rejects with the reason when it ends; never resolves. */
  readonly ended: Promise<never>;
  readonly #stream: WatchStream;
  readonly #onEvents: (answer: IWatchResponse) => void;
  readonly #created: Promise<void>;
  #isCreated = () => {};
  #fail: (why: unknown) => void = () => {};
  #over = false;

  /** To be made in the same task as the stream, or the stream's first words are missed. */
  constructor(stream: WatchStream, range: Range, onEvents: (answer: IWatchResponse) => void) {
    this.#stream = stream;
    this.#onEvents = onEvents;
    this.#created = new Promise((resolve) => {
      this.#isCreated = resolve;
    });
    this.ended = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.ended.catch(() => {}); // whoever waits has it too; nobody needs to
    stream.on('data', (answer) => this.#heard(answer));
    stream.on('error', (error) => this.#endedBy(error));
    stream.on('end', () => this.#endedBy(new GantryError('cluster-unreachable', 'etcd ended the watch')));
    const { key, range_end } = rangeRequest(range);
    stream.write({ create_request: { ...(key && { key }), ...(range_end && { range_end }) } });
  }

  /** Resolves when etcd has it; rejects when it ended or that took longer. */
  async created(timeoutMs: number): Promise<void> {
    const late = setTimeout(
      () => this.#endedBy(new GantryError('cluster-unreachable', 'etcd creates no watch')),
      timeoutMs,
    );
    await Promise.race([this.#created, this.ended]).finally(() => clearTimeout(late));
  }

  end(): void {
    this.#endedBy(new GantryError('cluster-unreachable', 'the watch was closed'));
  }

  #heard(answer: IWatchResponse): void {
    if (this.#over) return;
    if (answer.canceled) {
      this.#endedBy(new Error(answer.cancel_reason || 'etcd cancelled the watch'));
    } else {
      if (answer.created) this.#isCreated();
      if (answer.events.length > 0) this.#onEvents(answer);
    }
  }

  #endedBy(why: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#fail(why);
    this.#stream.end(); // before cancel: etcd3 takes a writable stream's end for a failure of the member
    this.#stream.cancel();
  }
}
