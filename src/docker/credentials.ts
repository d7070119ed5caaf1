/**
 * Credentials for a pull from a Docker config file, as `docker login` leaves them: in the file itself or
 * with a credential helper, a program of its own. Never writes, never logs, never asks.
 * https://docs.docker.com/reference/cli/docker/login/#credential-stores
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { GantryError, messageOf } from '../errors.ts';
import { HUB } from './reference.ts';

export interface Credentials {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly serveraddress: string;
}

interface ConfigFile {
  readonly auths?: Readonly<Record<string, { auth?: string; identitytoken?: string } | undefined>>;
  readonly credHelpers?: Readonly<Record<string, string | undefined>>;
  readonly credsStore?: string;
}

const HELPER_TIMEOUT_MS = 10_000;
const HELPER_OUTPUT_CHARS = 1024 * 1024;

/** undefined: none known, pull without. pull-refused: the file or its helper does not work. */
export async function credentialsFor(registry: string, authFile?: string): Promise<Credentials | undefined> {
  const path = authFile ?? join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json');
  const config = await readConfig(path, authFile !== undefined);
  if (config === undefined) return undefined;
  const helper =
    config.credHelpers?.[registry] ?? config.credHelpers?.[hostOf(registry)] ?? config.credsStore;
  if (helper) return fromHelper(helper, registry);
  const keys = [registry, ...Object.keys(config.auths ?? {}).filter((k) => hostOf(k) === hostOf(registry))];
  const entry = keys.map((key) => config.auths?.[key]).find((e) => e?.auth || e?.identitytoken);
  return entry === undefined ? undefined : fromEntry(entry, registry, path);
}

async function readConfig(path: string, demanded: boolean): Promise<ConfigFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const absent = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (absent && !demanded) return undefined;
    throw refused(`The Docker config file ${path} cannot be read: ${messageOf(cause)}`, cause);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Same answer as for a file whose JSON is no object; the parser's message could quote a secret.
  }
  throw refused(`The Docker config file ${path} is not a JSON object.`);
}

function fromEntry(
  entry: { auth?: string; identitytoken?: string },
  registry: string,
  path: string,
): Credentials {
  const plain = Buffer.from(entry.auth ?? '', 'base64').toString('utf8');
  const colon = plain.indexOf(':');
  if (colon < 1 && !entry.identitytoken) {
    throw refused(`The Docker config file ${path} has no usable credentials for ${registry}.`);
  }
  // Docker pads with NUL bytes in old files.
  const password = plain.slice(colon + 1).replace(/\0+$/, '');
  return {
    serveraddress: registry,
    ...(colon < 1 ? {} : { username: plain.slice(0, colon), password }),
    ...(entry.identitytoken ? { identitytoken: entry.identitytoken } : {}),
  };
}

async function fromHelper(helper: string, registry: string): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(helper))
    throw refused(`The Docker config file names '${helper}' as credential helper.`);
  const program = `docker-credential-${helper}`;
  const { code, output } = await runHelper(program, registry);
  if (code !== 0) {
    // The one message that helpers of every kind give for "I have none".
    if (/credentials not found/i.test(output)) return undefined;
    throw refused(`${program} failed for ${registry}: ${output.trim().slice(0, 200)}`);
  }
  const { Username, Secret } = parseAnswer(output, program);
  return Username === '<token>'
    ? { identitytoken: Secret, serveraddress: registry }
    : { username: Username, password: Secret, serveraddress: registry };
}

function parseAnswer(output: string, program: string): { Username: string; Secret: string } {
  try {
    const { Username, Secret } = JSON.parse(output);
    if (typeof Username === 'string' && typeof Secret === 'string') return { Username, Secret };
  } catch {
    // Told below; the parser's message could quote the secret.
  }
  throw refused(`${program} answered something else than credentials.`);
}

function runHelper(program: string, input: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'] });
    // Not spawn's own timeout: its timer outlives a program that is missing.
    const timer = setTimeout(() => child.kill('SIGKILL'), HELPER_TIMEOUT_MS);
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      if (output.length < HELPER_OUTPUT_CHARS) output += text;
    });
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(refused(`${program} cannot be run: ${messageOf(cause)}`, cause));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (signal === null) return resolve({ code, output });
      reject(refused(`${program} gave no credentials within ${HELPER_TIMEOUT_MS / 1000} s.`));
    });
    // A helper that ends without reading its input says why in its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(`${input}\n`);
  });
}

function refused(message: string, cause?: unknown): GantryError {
  return new GantryError('pull-refused', message, {
    ...(cause === undefined ? {} : { cause }),
    hint: "Mend the Docker config file, with 'docker login', or name another one in registryAuth.",
  });
}

/** Keys may be URLs in old files; Docker Hub has several names. */
function hostOf(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const hub = ['docker.io', 'registry-1.docker.io'].includes(host);
  return hub ? hostOf(HUB) : host;
}
