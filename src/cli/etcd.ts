/** The way to etcd that the options name, for every command on a fleet. */
import { readFile } from 'node:fs/promises';
import { openStore } from '../cluster/etcd/etcd-store.ts';
import { keys } from '../cluster/keys.ts';
import type { StoreOptions } from '../cluster/options.ts';
import type { Store } from '../cluster/store.ts';
import { projectName } from '../config/name.ts';
import { GantryError, messageOf } from '../errors.ts';
import type { Fleet } from '../fleet/intents/look.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { EtcdArguments, FleetArguments } from './fleet/options.ts';

export { whoAsks } from './access/who-asks.ts';

/** A person waits: less than what an agent grants each call. */
const CALL_MS = 2_500;

/** Runs `body` with the fleet that the options name. */
export async function withFleet<T>(args: FleetArguments, body: (fleet: Fleet) => Promise<T>): Promise<T> {
  refuseName(args.project);
  const store = await openFleetStore(args);
  try {
    return await body({ store, keys: keys(prefixOf(args)), now: Date.now });
  } finally {
    await store.close();
  }
}

/** For a command that somebody waits for; who opens it closes it. */
export async function openFleetStore(args: EtcdArguments, metrics?: Metrics): Promise<Store> {
  const measured = metrics === undefined ? {} : { metrics };
  return openStore({ ...(await storeOptions(args)), ...measured, callTimeoutMs: CALL_MS });
}

export async function storeOptions(args: EtcdArguments): Promise<StoreOptions> {
  const [ca, cert, key] = await Promise.all([
    pem('--etcd-ca', args.etcdCa),
    pem('--etcd-cert', args.etcdCert),
    pem('--etcd-key', args.etcdKey),
  ]);
  const endpoints = args.etcd.split(',').map((text) => text.trim());
  return {
    endpoints: endpoints.filter((text) => text !== ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(args.etcdUser === undefined ? {} : { user: args.etcdUser, password: await passwordOf(args) }),
  };
}

export function prefixOf({ etcdPrefix }: EtcdArguments): string {
  if (/^\/[^/]/.test(etcdPrefix)) return etcdPrefix;
  throw new GantryError('usage', `--etcd-prefix begins with a slash and names something, not ${etcdPrefix}`, {
    hint: 'As /gantryd, or /teams/shop.',
  });
}

async function passwordOf({ etcdUser, etcdPasswordFile }: EtcdArguments): Promise<string> {
  if (etcdPasswordFile !== undefined) {
    const text = (await read('--etcd-password-file', etcdPasswordFile)).toString('utf8');
    return text.replace(/\r?\n$/, '');
  }
  const password = process.env.GANTRYD_ETCD_PASSWORD;
  if (password) return password;
  throw new GantryError('usage', `The password of the etcd user ${etcdUser} is missing`, {
    hint: 'Put it into a file and name it with --etcd-password-file, or into GANTRYD_ETCD_PASSWORD.',
  });
}

function pem(option: string, path: string | undefined): Promise<Buffer | undefined> {
  return path === undefined ? Promise.resolve(undefined) : read(option, path);
}

async function read(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new GantryError('usage', `${option} ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Check the path and the rights of the file.',
      cause: error,
    });
  }
}

/** Throws usage for what can be the name of no project. */
export function refuseName(project: string): void {
  projectName(project, ' The project comes first: gantryd update PROJECT.');
}
