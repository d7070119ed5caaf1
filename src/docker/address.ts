/**
 * Where the Docker engine is: `--docker` or DOCKER_HOST, in the forms the docker command knows.
 * Only reads the environment and, for TLS, the certificate files; connects to nothing.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { GantryError, messageOf } from '../errors.ts';

export interface TlsFiles {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export type EngineAddress =
  | { readonly kind: 'socket'; readonly text: string; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly text: string;
      readonly host: string;
      readonly port: number;
      readonly secure: boolean;
      readonly tls: TlsFiles | undefined;
    };

type Environment = Readonly<Record<string, string | undefined>>;

export const DEFAULT_ENGINE_ADDRESS = 'unix:///var/run/docker.sock';
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** `unix:///path`, `tcp://host:port`, `http(s)://host:port`. usage: none of these. engine-unreachable: its TLS files cannot be read. */
export function engineAddress(given: string | undefined, env: Environment = process.env): EngineAddress {
  const text = given || env.DOCKER_HOST || DEFAULT_ENGINE_ADDRESS;
  if (text.startsWith('unix://') && text.length > 'unix://'.length) {
    return { kind: 'socket', text, path: text.slice('unix://'.length) };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['tcp:', 'http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    const origin = given ? '' : ' from DOCKER_HOST';
    throw new GantryError('usage', `'${text}'${origin} is no engine address that gantryd understands.`, {
      hint: 'Give it as unix:///path/to/docker.sock, tcp://host:port or https://host:port.',
    });
  }
  return tcpAddress(text, url, env);
}

function tcpAddress(text: string, url: URL, env: Environment): EngineAddress {
  const verify = url.protocol === 'tcp:' && (env.DOCKER_TLS_VERIFY ?? '') !== '';
  const secure = url.protocol === 'https:' || verify;
  const standard = url.protocol === 'tcp:' ? (secure ? TLS_PORT : PLAIN_PORT) : secure ? 443 : 80;
  const port = url.port === '' ? standard : Number(url.port);
  const folder = env.DOCKER_CERT_PATH || (verify ? join(homedir(), '.docker') : undefined);
  const tls = secure && folder !== undefined ? tlsFiles(folder) : undefined;
  return { kind: 'tcp', text, host: url.hostname, port, secure, tls };
}

function tlsFiles(folder: string): TlsFiles {
  const read = (name: string) => readFileSync(join(folder, name));
  try {
    return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
  } catch (cause) {
    throw new GantryError(
      'engine-unreachable',
      `The TLS files for the Docker engine cannot be read: ${messageOf(cause)}`,
      {
        cause,
        hint: 'DOCKER_CERT_PATH must name a folder with ca.pem, cert.pem and key.pem.',
      },
    );
  }
}
