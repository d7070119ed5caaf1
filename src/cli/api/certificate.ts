/**
 * The certificate of the API, from the files that the options name: read at the start, and looked at again for as long
 * as it is served, since certificates are renewed while nobody restarts anything.
 */
import { readFile } from 'node:fs/promises';
import type { Certificate } from '../../api/server.ts';
import { GantryError, messageOf } from '../../errors.ts';
import { pause } from '../../poke.ts';
import type { ServeArguments } from './options.ts';

/** Between two looks. */
const LOOK_MS = 10_000;

export type CertificateFiles = Pick<ServeArguments, 'apiCert' | 'apiKey'>;

/** undefined: none is asked for. Throws usage where it cannot be read. */
export async function certificateOf({ apiCert, apiKey }: CertificateFiles): Promise<Certificate | undefined> {
  if (apiCert === undefined || apiKey === undefined) return undefined;
  const [cert, key] = await Promise.all([pem('--api-cert', apiCert), pem('--api-key', apiKey)]);
  return { cert, key };
}

export interface FollowCertificate {
  readonly files: CertificateFiles;
  readonly shown: Certificate;
  /** Throws for one that cannot be used; the one before is shown on. */
  readonly renew: (found: Certificate) => void;
  /** Called once with what stays wrong for two looks: files are replaced one after the other. */
  readonly onTrouble: (error: unknown) => void;
  /** Tests make it short. */
  readonly everyMs?: number | undefined;
}

/** Until aborted. Never rejects. */
export async function followCertificate(input: FollowCertificate, signal: AbortSignal): Promise<void> {
  const { files, renew, onTrouble, everyMs = LOOK_MS } = input;
  let { shown } = input;
  let wrong = { message: '', times: 0 };
  for (await pause(everyMs, signal); !signal.aborted; await pause(everyMs, signal)) {
    try {
      const found = await certificateOf(files);
      if (found !== undefined && !isSame(found, shown)) {
        renew(found);
        shown = found;
      }
      wrong = { message: '', times: 0 };
    } catch (error) {
      const message = messageOf(error);
      wrong = { message, times: message === wrong.message ? wrong.times + 1 : 1 };
      if (wrong.times === 2) onTrouble(error);
    }
  }
}

function isSame(one: Certificate, other: Certificate): boolean {
  return one.cert.equals(other.cert) && one.key.equals(other.key);
}

async function pem(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new GantryError('usage', `${option} ${path} cannot be read: ${messageOf(cause)}`, {
      hint: 'Check the path and the rights of the file.',
      cause,
    });
  }
}
