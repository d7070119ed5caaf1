/** The options of the API, for `gantryd run` and `gantryd api`. */
import { GantryError } from '../../errors.ts';
import { refuseOdd } from '../options.ts';

export interface ServeArguments {
  /** `ADDRESS:PORT`; of `gantryd run` undefined: not served. */
  readonly api: string | undefined;
  readonly apiOpen: boolean;
  readonly apiCert: string | undefined;
  readonly apiKey: string | undefined;
}

const api = {
  type: 'string',
  description: 'Serve the HTTP API there, as 127.0.0.1:7070',
  default: process.env.GANTRYD_API || undefined,
  defaultDescription: '$GANTRYD_API',
  requiresArg: true,
} as const;

export const serve = {
  api,
  'api-open': {
    type: 'boolean',
    default: false,
    description: 'Ask for no token; on a loopback address alone',
  },
  'api-cert': {
    type: 'string',
    description: 'PEM file: certificate of the API',
    default: process.env.GANTRYD_API_CERT || undefined,
    defaultDescription: '$GANTRYD_API_CERT; plain HTTP',
    requiresArg: true,
  },
  'api-key': {
    type: 'string',
    description: 'PEM file: key of that certificate',
    default: process.env.GANTRYD_API_KEY || undefined,
    defaultDescription: '$GANTRYD_API_KEY',
    requiresArg: true,
  },
} as const;

export const API_OPTION_NAMES: readonly string[] = Object.keys(serve);

/** Certificate and key belong together, and none of them is given twice. */
export function checkServe(args: Readonly<Record<string, unknown>>): true {
  for (const name of ['api', 'api-cert', 'api-key']) refuseOdd(name, args[name]);
  if ((args.apiCert === undefined) === (args.apiKey === undefined)) return true;
  throw new GantryError('usage', '--api-cert and --api-key go together', {
    hint: 'Give both for TLS, or none for plain HTTP.',
  });
}
