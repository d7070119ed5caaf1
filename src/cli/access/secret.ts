/** `gantryd secret set|list|rm|keygen`, and of one box `gantry secret set|list|rm`. No value is ever printed. */
import { openStateDir } from '../../agent/state-dir.ts';
import { openBoxStore } from '../../cluster/box.ts';
import { keys } from '../../cluster/keys.ts';
import { boxPlace } from '../../secrets/box.ts';
import { defaultKeyFile, makeKeyFile, ownKey, publicKeyOf } from '../../secrets/key-file.ts';
import { refuseSecretName } from '../../secrets/names.ts';
import { sealingKey } from '../../secrets/sealing-key.ts';
import { listSecrets, removeSecret, type SecretPlace, setSecret } from '../../secrets/secret-store.ts';
import type { FleetArguments } from '../fleet/options.ts';
import { outputOf } from '../output.ts';
import { table } from '../render.ts';
import type {
  KeygenArguments,
  NamedSecretArguments,
  SecretArguments,
  SetSecretArguments,
} from './secret-options.ts';
import { readSecretValue } from './secret-value.ts';
import { whoAsks } from './who-asks.ts';

export async function runSet(args: SetSecretArguments): Promise<number> {
  const output = outputOf(args);
  const { name } = args;
  refuseSecretName(name);
  await withPlace(args, async (place, stateDir) => {
    const value = await readSecretValue(name, args.file);
    const { publicKey, warnings } = await keyFor(args, place, stateDir);
    await setSecret(place, { name, value, publicKey, by: whoAsks(), now: Date.now() });
    const words = [
      ...warnings.map((warning) => `Warning: ${warning}`),
      `Secret ${name} is set (${value.length} bytes)`,
    ];
    output.document({ ...about(args), secret: name, bytes: value.length, warnings }, words.join('\n'));
  });
  return 0;
}

export async function runList(args: SecretArguments): Promise<number> {
  const output = outputOf(args);
  await withPlace(args, async (place) => {
    const secrets = await listSecrets(place);
    const rows = secrets.map(({ name, bytes, at, by }) => [
      name,
      String(bytes),
      at.replace(/\.\d+Z$/, 'Z'),
      by,
    ]);
    const words = rows.length === 0 ? 'No secret is set' : table(['NAME', 'BYTES', 'SET', 'BY'], rows);
    output.document({ ...about(args), secrets }, words);
  });
  return 0;
}

export async function runRemove(args: NamedSecretArguments): Promise<number> {
  const output = outputOf(args);
  const { name } = args;
  await withPlace(args, async (place) => {
    await removeSecret(place, { name, by: whoAsks(), now: Date.now() });
    output.document({ ...about(args), secret: name, removed: true }, `Secret ${name} is removed`);
  });
  return 0;
}

export async function runKeygen(args: KeygenArguments): Promise<number> {
  const output = outputOf(args);
  const file = args.file ?? defaultKeyFile((await openStateDir(args.stateDir)).path);
  const publicKey = publicKeyOf(await makeKeyFile(file));
  output.document(
    { file, publicKey },
    `The key is in ${file}; its public half is ${publicKey}\nCopy the file to every host of the fleet, and keep one copy elsewhere: without it nobody opens what is sealed for it.`,
  );
  return 0;
}

/** On one box whoever can set a secret can open it, and the key is made when it is first needed. */
async function keyFor(args: SetSecretArguments, place: SecretPlace, stateDir: string) {
  if (args.program === 'gantryd') {
    const { etcd, secretsKey, publishedKey } = args;
    const at = `${etcd} ${place.keys.secretsKey}`;
    return sealingKey(place, { stateDir, at, file: secretsKey, isPublishedTrusted: publishedKey });
  }
  return { publicKey: publicKeyOf(await ownKey(defaultKeyFile(stateDir))), warnings: [] };
}

async function withPlace(
  args: SecretArguments,
  body: (place: SecretPlace, stateDir: string) => Promise<void>,
): Promise<void> {
  const { path } = await openStateDir(args.stateDir);
  const place = args.program === 'gantryd' ? await fleetPlace(args) : boxPlace(openBoxStore(path));
  try {
    await body(place, path);
  } finally {
    await place.store.close();
  }
}

async function fleetPlace(args: FleetArguments): Promise<SecretPlace> {
  const { project } = args;
  // etcd3 takes its time to load, and one box has no use for it.
  const { openFleetStore, prefixOf, refuseName } = await import('../etcd.ts');
  refuseName(project);
  return { store: await openFleetStore(args), keys: keys(prefixOf(args)).project(project), project };
}

function about(args: SecretArguments): { readonly project?: string } {
  return args.program === 'gantryd' ? { project: args.project } : {};
}
