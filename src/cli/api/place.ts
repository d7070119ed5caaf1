/** Where the API is to listen, and where it may ask for no token. Pure. */
import { GantryError } from '../../errors.ts';
import type { ServeArguments } from './options.ts';

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;
const MAX_PORT = 65_535;

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** Of `ADDRESS:PORT` or `[ADDRESS]:PORT`. Throws usage. */
export function placeOf(text: string): Place {
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = inBrackets ?? plain;
  const port = Number(digits);
  if (address !== undefined && port <= MAX_PORT) return { address, port };
  throw new GantryError('usage', `--api ${text} is not ADDRESS:PORT`, {
    hint: 'As 127.0.0.1:7070, [::1]:7070 or 0.0.0.0:7070.',
  });
}

/** Throws usage. */
export function refuseOpenElsewhere({ apiOpen }: ServeArguments, address: string): void {
  if (!apiOpen || LOOPBACK.test(address)) return;
  throw new GantryError('usage', `--api-open is for a loopback address, which ${address} is not`, {
    hint: 'Whoever reaches the address could do everything. Leave --api-open out, and make tokens: gantryd token create.',
  });
}
