/**
 * Which image a component means, for an update over the API: as the engine of the agent's host has it or can pull it.
 * Without an engine only what a name pins by itself is known: a tag may be another image by now.
 */
import { readRelease } from '../../cluster/values.ts';
import type { Component } from '../../config/project.ts';
import { parseReference } from '../../docker/reference.ts';
import { GantryError } from '../../errors.ts';
import { resolveImage } from '../../fleet/images.ts';
import type { ImageOfRelease } from '../../fleet/intents/intents.ts';
import type { ApiAround } from '../around.ts';

export interface Resolving {
  readonly project: string;
  readonly pull: boolean;
  readonly signal: AbortSignal;
}

/** Throws image-not-found, pull-refused, interrupted. */
export function resolving(
  around: ApiAround,
  { project, pull, signal }: Resolving,
): (component: Component) => Promise<ImageOfRelease> {
  const { engine } = around;
  if (engine === undefined) return (component) => pinned(around, project, component);
  return async (component) => {
    const image = await resolveImage(component, { engine, pull, signal, tell: () => {} });
    if (signal.aborted) throw new GantryError('interrupted', 'whoever asked went away; nothing has changed');
    return image;
  };
}

async function pinned(around: ApiAround, project: string, component: Component): Promise<ImageOfRelease> {
  const { name, image } = component;
  const reference = parseReference(image);
  if (reference === undefined)
    return { name: image, id: image.replace(/^(sha256:)?/, 'sha256:'), digests: [] };
  const isPinned = reference.version.startsWith('sha256:');
  const { entries } = isPinned
    ? await around.store.list(around.keys.project(project).releases(name))
    : { entries: [] };
  const found = entries.map((entry) => readRelease(entry)?.image).find((known) => known?.name === image);
  if (found !== undefined) return found;
  throw new GantryError(
    'image-not-found',
    `this API has no Docker engine that could say what ${image} is now`,
    {
      hint: 'Ask the API of an agent (gantryd run --api), or run gantryd update where Docker is.',
    },
  );
}
