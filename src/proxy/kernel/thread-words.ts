/** What the proxy and the thread of its kernel plane say to each other. Types, and errors as words. */
import { GantryError, isGantryError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { KernelEntry, KernelPlane, KernelProtocol, KernelTarget } from './plane.ts';

/** What the thread is asked for; what only reads, or ends connections, needs no thread. */
export interface Calls {
  readonly ability: readonly [KernelProtocol];
  readonly apply: readonly [readonly KernelEntry[]];
  readonly purge: readonly [];
  readonly close: readonly [];
}
export type CallName = keyof Calls;
export type CallAnswer<N extends CallName> = Awaited<ReturnType<KernelPlane[N]>>;

/** One of them, told apart by its number. */
export type ToThread = {
  [N in CallName]: { readonly id: number; readonly name: N; readonly args: Calls[N] };
}[CallName];

export type FromThread =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'dead' | 'gone'; readonly target: KernelTarget }
  | { readonly kind: 'restored'; readonly missing: string; readonly why: string | undefined }
  | {
      readonly kind: 'log';
      readonly level: keyof Log;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>> | undefined;
    };

/** A class does not outlive the way between threads. */
export type Failure = Pick<GantryError, 'code' | 'message' | 'retryable' | 'hint'>;

export function failureOf(error: unknown): Failure {
  if (!isGantryError(error))
    return { code: 'internal', message: messageOf(error), retryable: false, hint: undefined };
  const { code, message, retryable, hint } = error;
  return { code, message, retryable, hint };
}

export function errorOf({ code, message, retryable, hint }: Failure): GantryError {
  return new GantryError(code, message, { retryable, ...(hint === undefined ? {} : { hint }) });
}
