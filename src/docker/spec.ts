/**
 * From a component to the container Docker is asked for: name, labels, create body, spec hash. Pure.
 */
import type { Component } from '../config/project.ts';

/** Identity of our containers. Written once at creation; the only way they are found again. */
export const LABELS = {
  project: 'io.gantryd.project',
  component: 'io.gantryd.component',
  release: 'io.gantryd.release',
  spec: 'io.gantryd.spec',
  host: 'io.gantryd.host',
} as const;

export interface ContainerSpec {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Hash of all that decides how the container runs, without name and identity. */
  readonly hash: string;
  /** Body of POST /containers/create, without the name. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface SpecInput {
  readonly project: string;
  readonly component: Component;
  readonly release: number;
  /** Host id of the state directory. */
  readonly host: string;
  /** Image id the container must run. */
  readonly imageId: string;
  /** Link variables; they win over the component's own. */
  readonly linkEnvironment: Readonly<Record<string, string>>;
  /** Makes the name unique: four characters of [a-z0-9]. */
  readonly suffix: string;
}

export declare function containerSpec(input: SpecInput): ContainerSpec;
