/**
 * An image reference taken apart: what to pull, and whose credentials to show. Pure.
 */
export interface ImageReference {
  /** As given, without tag and digest. */
  readonly repository: string;
  /** Tag or digest, never empty: without one the engine would pull every tag. */
  readonly version: string;
  /** Key of the registry in a Docker config file. */
  readonly registry: string;
}

/** The Docker config file knows Docker Hub by this name. https://docs.docker.com/reference/cli/docker/login/ */
export const HUB = 'https://index.docker.io/v1/';

/** undefined: an image id, which no registry can be asked for. */
export function parseReference(ref: string): ImageReference | undefined {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(ref)) return undefined;
  const [named = '', digest] = ref.split('@', 2);
  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/');
  const repository = tagged ? named.slice(0, colon) : named;
  const version = digest ?? (tagged ? named.slice(colon + 1) : 'latest');
  return { repository, version: version === '' ? 'latest' : version, registry: registryOf(repository) };
}

function registryOf(repository: string): string {
  const slash = repository.indexOf('/');
  const first = repository.slice(0, Math.max(slash, 0));
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  return !isHost || first === 'docker.io' || first === 'index.docker.io' ? HUB : first;
}
