/** Which image a component means on this machine: its id here, and what registries know it by. */
import type { Component } from '../config/project.ts';
import type { Engine } from '../docker/engine.ts';
import { parseReference } from '../docker/reference.ts';
import type { AgentEvent } from '../events.ts';
import type { ImageOfRelease } from './intents/intents.ts';

export interface ResolveOptions {
  readonly engine: Engine;
  /** Pull even what is here. */
  readonly pull: boolean;
  readonly tell: (event: AgentEvent) => void;
  readonly signal: AbortSignal;
}

/** image-not-found and pull-refused when it is neither here nor to be had. */
export async function resolveImage(component: Component, options: ResolveOptions): Promise<ImageOfRelease> {
  const { engine, pull } = options;
  const here = pull ? undefined : await engine.image(component.image);
  const image = here ?? (await pulled(component, options));
  return { name: component.image, id: image.id, digests: digestsOf(component.image, image.digests) };
}

async function pulled({ name, image, registryAuth }: Component, options: ResolveOptions) {
  const { engine, pull, tell, signal } = options;
  const of = { component: name, image };
  const why = pull ? 'asked for' : 'this machine does not have it';
  tell({ kind: 'image-pulling', ...of, why, at: Date.now() });
  const found = await engine.pull(image, {
    signal,
    onProgress: (progress) => tell({ kind: 'image-progress', ...of, ...progress, at: Date.now() }),
    ...(registryAuth === undefined ? {} : { authFile: registryAuth }),
  });
  tell({ kind: 'image-ready', ...of, imageId: found.id, at: Date.now() });
  return found;
}

/** An image may be known to several registries; a host asks the one that the config names. */
function digestsOf(image: string, digests: readonly string[]): readonly string[] {
  const repository = familiar(parseReference(image)?.repository ?? '');
  return digests.filter((digest) => familiar(digest.split('@')[0] ?? '') === repository);
}

/** The engine leaves out what Docker Hub's names begin with. */
function familiar(repository: string): string {
  return repository.replace(/^(index\.)?docker\.io\//, '').replace(/^library\//, '');
}
