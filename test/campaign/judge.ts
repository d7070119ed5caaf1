/**
 * Which failures of clients a fault explains. An excuse is made by whoever did the deed, of what it did it to and from
 * when to when, and explains no more than that: a failure that none explains is gantryd's. Pure.
 */

/** What a client saw. Times are epoch milliseconds: the request was sent, or the connection made; it failed. */
export interface Loss {
  readonly host: string;
  /** Which client. */
  readonly client: string;
  readonly since: number;
  readonly at: number;
  readonly why: string;
  /** Short id of the container that had answered; absent: nothing had. */
  readonly container?: string;
  /** The client came by a port that the kernel leads. */
  readonly led?: boolean;
}

export interface Excuse {
  /** Says what was done, for people. */
  readonly what: string;
  readonly host: string;
  readonly from: number;
  /** Infinity: not over yet. */
  readonly until: number;
  /** Only what this container had in hand; absent: whatever the host's proxy had. */
  readonly container?: string;
  /** It explains nothing of what the kernel leads. */
  readonly sparesLed?: boolean;
}

export interface Verdict {
  readonly excused: readonly { readonly excuse: Excuse; readonly losses: readonly Loss[] }[];
  readonly unexplained: readonly Loss[];
}

/** A client on a busy machine learns late that its connection has ended. */
export const LATE_MS = 3_000;

export function judged(losses: readonly Loss[], excuses: readonly Excuse[]): Verdict {
  const taken = new Map<Excuse, Loss[]>();
  const unexplained: Loss[] = [];
  for (const loss of losses) {
    const excuse = excuses.find((one) => explains(one, loss));
    if (excuse === undefined) unexplained.push(loss);
    else taken.set(excuse, [...(taken.get(excuse) ?? []), loss]);
  }
  return { excused: [...taken].map(([excuse, of]) => ({ excuse, losses: of })), unexplained };
}

/**
 * It was under way while that happened, and failed of it: not before, and not long after. What a container that died had
 * answered is lost whenever that is noticed: its last packets may get lost with its network.
 */
function explains({ host, from, until, container, sparesLed }: Excuse, loss: Loss): boolean {
  if (loss.host !== host || loss.since > until || loss.at < from) return false;
  if (sparesLed === true && loss.led === true) return false;
  const isItsOwn = loss.container !== undefined && container?.startsWith(loss.container) === true;
  if (isItsOwn) return true;
  const mayBe = container === undefined || loss.container === undefined;
  return mayBe && loss.at <= until + LATE_MS;
}
