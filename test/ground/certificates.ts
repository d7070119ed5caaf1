/**
 * A certificate authority of the test's own, with a certificate for a server and one for a client, and an authority
 * nobody trusts. Made with openssl when a test asks; they protect nothing and go with the test's folder.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const DAYS = '2';

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string;
  readonly server: Pair;
  readonly client: Pair;
  /** Signed by itself. */
  readonly stranger: Pair;
}

/** `addresses`: the IP addresses the server's certificate is for. */
export async function makeCertificates(folder: string, addresses: readonly string[]): Promise<Certificates> {
  const ca = await selfSigned(folder, 'ca');
  const [server, client, stranger] = await Promise.all([
    signed(folder, 'server', ca, addresses),
    signed(folder, 'client', ca, addresses),
    selfSigned(folder, 'stranger'),
  ]);
  return { ca: ca.cert, server, client, stranger };
}

async function selfSigned(folder: string, name: string): Promise<Pair> {
  const pair = files(folder, name);
  await openssl('req', '-x509', ...fresh(pair, name), '-days', DAYS, '-out', pair.cert);
  return pair;
}

async function signed(folder: string, name: string, ca: Pair, addresses: readonly string[]): Promise<Pair> {
  const pair = files(folder, name);
  const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)];
  const names = addresses.map((address) => `IP:${address}`).join(',');
  await writeFile(extensions, `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await openssl('req', ...fresh(pair, name), '-out', request);
  const by = ['-CA', ca.cert, '-CAkey', ca.key, '-set_serial', String(name.length)];
  await openssl(
    'x509',
    '-req',
    '-in',
    request,
    ...by,
    '-days',
    DAYS,
    '-extfile',
    extensions,
    '-out',
    pair.cert,
  );
  return pair;
}

function fresh({ key }: Pair, name: string): readonly string[] {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  return [...curve, '-keyout', key, '-subj', `/CN=gantryd test ${name}`];
}

function files(folder: string, name: string): Pair {
  return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
}

async function openssl(...args: readonly string[]): Promise<void> {
  await promisify(execFile)('openssl', args);
}
