/**
 * Before anything switches, a host sees to it that it could: room on the disk, the very image of the release, free
 * ports, every secret there, every required link offered somewhere. Changes nothing but what images the engine has.
 */
import { requireSecrets, type SecretPort } from '../agent/secret-mounts.ts';
import type { ReleaseValue } from '../cluster/values.ts';
import { completed } from '../config/normalise.ts';
import type { Engine } from '../docker/engine.ts';
import { GantryError, isGantryError } from '../errors.ts';
import type { Tell } from '../events.ts';

/** Less than this is no room to start anything: an engine on a full disk fails in ways that take long to clear up. */
export const LEAST_FREE_BYTES = 128 * 1024 * 1024;

export interface PrepareInput {
  readonly engine: Engine;
  readonly release: ReleaseValue;
  /** undefined: none can be opened here. */
  readonly secrets: SecretPort | undefined;
  readonly tell: Tell;
  readonly signal: AbortSignal;
  /** The links that are offered on any host. */
  readonly offers: (link: string) => boolean;
  /**
   * It is gone back to. Then only its image is seen to, and its secrets are those it had: what the release that failed has broken, as by filling the disk,
   * is the last thing that may keep it.
   */
  readonly returns: boolean;
}

/**
 * Throws host-unfit and link-unavailable (retryable: the rollout waits), secret-unknown, secrets-key, image-differs,
 * image-not-found and what else a pull meets.
 */
export async function prepare(input: PrepareInput): Promise<void> {
  const { engine, release, secrets, tell, signal, offers, returns } = input;
  if (!returns) {
    await refuseFullDisk(engine);
    // A release that was made before there were secrets has none.
    await requireSecrets(secrets, completed(release.spec));
  }
  await ensureImage(engine, release, tell, signal);
  if (returns) return;
  for (const { name, exporter } of release.requires) {
    if (!offers(name)) throw noOffer(release.spec.name, name, exporter);
  }
}

async function refuseFullDisk(engine: Engine): Promise<void> {
  const room = await engine.room();
  if (room === undefined || room.freeBytes >= LEAST_FREE_BYTES) return;
  const mebibytes = (bytes: number) => Math.floor(bytes / (1024 * 1024));
  throw new GantryError(
    'host-unfit',
    `Only ${mebibytes(room.freeBytes)} MiB are free under ${room.path}, ${mebibytes(LEAST_FREE_BYTES)} are needed`,
    { retryable: true, hint: "Free some, as with 'docker system prune'; it goes on by itself." },
  );
}

/** By digest where there is one, which can only be the same image; else by tag, and then the id is compared. */
async function ensureImage(
  engine: Engine,
  { image, spec, number }: ReleaseValue,
  tell: Tell,
  signal: AbortSignal,
): Promise<void> {
  if ((await engine.image(image.id)) !== undefined) return;
  const authFile = spec.registryAuth === undefined ? {} : { authFile: spec.registryAuth };
  const ref = image.digests[0] ?? image.name;
  tell({ kind: 'image-pulling', image: ref, why: 'this host does not have it' });
  const pulled = await engine.pull(ref, { signal, ...authFile }).catch((error: unknown) => {
    throw isGantryError(error) ? pullError(error, ref, image) : error;
  });
  if (pulled.id !== image.id && (await engine.image(image.id)) === undefined) {
    throw new GantryError(
      'image-differs',
      `${image.name} is ${short(pulled.id)} in the registry, but release ${number} was made from ${short(image.id)}`,
      {
        hint: `Was it pushed? Push ${image.name} and run update again. Nothing else is run for the release.`,
      },
    );
  }
  tell({ kind: 'image-ready', image: ref, imageId: image.id });
}

/** Registries tell a stranger the same of an image they do not have and of one that is private. */
function pullError(error: GantryError, ref: string, { name, digests }: ReleaseValue['image']): GantryError {
  const { code, message, retryable, hint = '' } = error;
  if (code === 'image-not-found') {
    return new GantryError('image-not-found', `Neither this host nor a registry has ${ref}`, {
      hint: `Was it pushed? Push ${name}, or load it on every host, and run update again.`,
      cause: error,
    });
  }
  if (code !== 'pull-refused' || digests.length > 0) return error;
  const unknown = `Was it pushed? Where the release was made no registry was known to have ${name}.`;
  return new GantryError(code, message, { retryable, hint: `${unknown} ${hint}`.trimEnd(), cause: error });
}

function noOffer(component: string, link: string, exporter: string): GantryError {
  return new GantryError(
    'link-unavailable',
    `${component} needs the link ${link}, and ${exporter} serves it on no host`,
    { retryable: true, hint: `Update ${exporter}; it goes on by itself.` },
  );
}

function short(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}
