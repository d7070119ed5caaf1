/** The API of `gantryd run --api` and `gantryd api`: where it listens, whom it asks for a token, its certificate. */
import type { ApiAround } from '../../api/around.ts';
import { type Door, openDoor, tokenDoor } from '../../api/auth.ts';
import { apiRoutes } from '../../api/routes.ts';
import { type Api, openApi } from '../../api/server.ts';
import { within } from '../../deadline.ts';
import { isGantryError, messageOf } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import { pause } from '../../poke.ts';
import { certificateOf, followCertificate } from './certificate.ts';
import type { ServeArguments } from './options.ts';
import { placeOf, refuseOpenElsewhere } from './place.ts';

const RETRY_MS = 5_000;
/** Requests are answered before that too, with 503. */
const TOKENS_MS = 5_000;

export interface ServeApi {
  readonly around: ApiAround;
  readonly args: ServeArguments & { readonly api: string };
  /** Told of what goes wrong and ends nothing. */
  readonly onDefect: (error: unknown) => void;
  /** How often the certificate is looked at; tests make it short. */
  readonly certificateMs?: number;
}

/** Throws usage for options that do not fit, port-taken. */
export async function serveApi(
  { around, args, onDefect, certificateMs }: ServeApi,
  signal: AbortSignal,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const { address, port } = placeOf(args.api);
  refuseOpenElsewhere(args, address);
  const tls = await certificateOf(args);
  const tokens = args.apiOpen ? undefined : tokenDoor(around.store, around.keys);
  const door: Door = tokens ?? openDoor();
  try {
    const api = await openApi({
      ...{ address, port, door, onDefect, routes: apiRoutes(around) },
      ...(tls === undefined ? {} : { tls }),
      ...(around.metrics === undefined ? {} : { metrics: around.metrics }),
      portHint: 'Give it another address or port with --api.',
    });
    const ended = new AbortController();
    const certificate = { files: args, renew: api.renew, onTrouble: onDefect, everyMs: certificateMs };
    if (tls !== undefined) void followCertificate({ ...certificate, shown: tls }, ended.signal);
    await tokens?.ready(within(TOKENS_MS, signal)).catch(() => {});
    return {
      url: urlOf(tls === undefined ? 'http' : 'https', address, api),
      close: async () => {
        ended.abort();
        tokens?.close();
        await api.close();
      },
    };
  } catch (error) {
    tokens?.close();
    throw error;
  }
}

export interface ServeBeside extends Omit<ServeApi, 'onDefect'> {
  readonly emit: (event: AgentEvent) => void;
  readonly onServing: (url: string) => void;
  /** Tests make it short. */
  readonly retryMs?: number;
}

/** Beside an agent, until aborted: whatever goes wrong is told, and tried again. Never rejects. */
export async function serveBeside(input: ServeBeside, signal: AbortSignal): Promise<void> {
  const tell = (error: unknown) => input.emit(troubleWith(error));
  for (let told = ''; !signal.aborted; ) {
    try {
      const api = await serveApi({ ...input, onDefect: tell }, signal);
      input.onServing(api.url);
      await untilAborted(signal);
      return await api.close();
    } catch (error) {
      if (messageOf(error) !== told) tell(error);
      told = messageOf(error);
      await pause(input.retryMs ?? RETRY_MS, signal);
    }
  }
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function urlOf(scheme: string, address: string, { port }: Api): string {
  return `${scheme}://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** As an event of an agent. */
export function troubleWith(error: unknown): AgentEvent {
  const known = isGantryError(error) ? error : undefined;
  return {
    ...{ kind: 'trouble', code: known?.code ?? 'internal', component: '', at: Date.now() },
    message: `The API: ${messageOf(error)}`,
    ...(known?.hint === undefined ? {} : { hint: known.hint }),
  };
}
