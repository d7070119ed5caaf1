/** What `secret` does on the command line, over HTTP. A value comes in, is sealed, and is never told again. */
import { projectName } from '../config/name.ts';
import { MAX_SECRET_BYTES } from '../secrets/names.ts';
import { sealingKey } from '../secrets/sealing-key.ts';
import { listSecrets, removeSecret, type SecretPlace, setSecret } from '../secrets/secret-store.ts';
import type { ApiAround } from './around.ts';
import { readBody, STALL_MS, TOTAL_MS } from './body.ts';
import { SECRET_SET, SECRETS } from './jobs/job-schemas.ts';
import type { Call, Reply, Route } from './route.ts';

const PATH = '/v1/projects/:project/secrets';
const BOUNDS = { maxBytes: MAX_SECRET_BYTES, stallMs: STALL_MS, totalMs: TOTAL_MS };

export function secretRoutes(around: ApiAround): readonly Route[] {
  const tag = { tag: 'secrets' } as const;
  return [
    {
      ...{ ...tag, method: 'GET', path: PATH, access: 'read' },
      ...{ summary: 'Names and sizes of the secrets', answer: { status: 200, schema: SECRETS } },
      handle: (call) => list(placeOf(around, call)),
    },
    {
      ...{ ...tag, method: 'PUT', path: `${PATH}/:name`, access: 'admin', body: 'bytes' },
      ...{ summary: 'Set a secret: the body is its value', answer: { status: 200, schema: SECRET_SET } },
      handle: (call) => set(around, call),
    },
    {
      ...{ ...tag, method: 'DELETE', path: `${PATH}/:name`, access: 'admin' },
      ...{ summary: 'Remove a secret; containers that have it keep it', answer: { status: 204 } },
      handle: async (call) => {
        const { by } = call.caller;
        const name = call.params.name ?? '';
        await removeSecret(placeOf(around, call), { name, by, now: around.now() });
        return { status: 204 };
      },
    },
  ];
}

async function list(place: SecretPlace): Promise<Reply> {
  return { status: 200, body: { project: place.project, secrets: await listSecrets(place) } };
}

async function set(around: ApiAround, call: Call): Promise<Reply> {
  const place = placeOf(around, call);
  const name = call.params.name ?? '';
  const value = await readBody(call.request, BOUNDS, () => undefined);
  const { publicKey, warnings } = await sealingKey(place, {
    stateDir: around.stateDir,
    at: `the API's etcd ${place.keys.secretsKey}`,
    file: undefined,
    isPublishedTrusted: false,
  });
  await setSecret(place, { name, value, publicKey, by: call.caller.by, now: around.now() });
  return { status: 200, body: { secret: name, bytes: value.length, warnings } };
}

function placeOf({ store, keys }: ApiAround, { params }: Call): SecretPlace {
  const project = projectName(params.project ?? '');
  return { store, keys: keys.project(project), project };
}
