/**
 * One container as the engine shows it, and how a container is named in messages.
 */
import type Docker from 'dockerode';
import { GantryError } from '../errors.ts';
import { type Connection, get } from './connection.ts';
import { isBeingRemoved, isNoSuchContainer, statusOf, wordsOf } from './failures.ts';

export interface Inspection {
  readonly timeoutMs: number;
  readonly until?: AbortSignal;
}

/** undefined: there is none of this name or id. */
export function inspectContainer(
  connection: Connection,
  nameOrId: string,
  limits: Inspection,
): Promise<Docker.ContainerInspectInfo | undefined> {
  const call = { name: 'inspect', what: `show the container ${short(nameOrId)}`, ...limits };
  const path = `/containers/${encodeURIComponent(nameOrId)}/json`;
  return connection.call(call, (docker, abortSignal) =>
    get<Docker.ContainerInspectInfo>(docker, path, {}, abortSignal).catch(undefinedFor404),
  );
}

export function undefinedFor404(error: unknown): undefined {
  if (statusOf(error) !== 404) throw error;
}

export function gone(id: string, cause: unknown): GantryError {
  return new GantryError('container-gone', `The container ${short(id)} is gone: ${wordsOf(cause)}`, {
    cause,
  });
}

/** `gone` for the engine's word that there is no such container (any more), any other error as it is. */
export function goneOr(id: string, error: unknown): unknown {
  return isNoSuchContainer(error) || isBeingRemoved(error) ? gone(id, error) : error;
}

export function short(nameOrId: string): string {
  return /^[0-9a-f]{64}$/.test(nameOrId) ? nameOrId.slice(0, 12) : nameOrId;
}
