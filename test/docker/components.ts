/** Components and specs for tests: defaults, overridden where a test cares. */
import type { Component } from '../../src/config/project.ts';
import { type ContainerSpec, containerSpec, type SpecInput } from '../../src/docker/spec.ts';

export function componentOf(overrides: Partial<Component> = {}): Component {
  return {
    name: 'web',
    image: 'app:1',
    ports: [],
    readyChecks: [],
    healthChecks: [],
    readyTimeoutMs: 10_000,
    terminationSignals: [],
    terminationChecks: [],
    idleTimeoutMs: 0,
    closeSpreadMs: 0,
    holdTimeoutMs: 0,
    slowStartMs: 0,
    stopTimeoutMs: 10_000,
    healthPolicy: 'replace',
    instances: 1,
    hostLossTimeoutMs: 30_000,
    update: {
      order: 'start-first',
      maxParallel: 1,
      onFailure: 'rollback',
      monitorMs: 10_000,
      keepOldMs: 600_000,
    },
    bindings: [],
    volumesFrom: [],
    definesLinks: [],
    requiresLinks: [],
    environment: [],
    secrets: [],
    privileged: false,
    extraHosts: [],
    labels: {},
    readOnly: false,
    capAdd: [],
    capDrop: [],
    ulimits: [],
    ...overrides,
  };
}

export function specOf(overrides: Partial<Component> = {}, input: Partial<SpecInput> = {}): ContainerSpec {
  return containerSpec({
    project: 'shop',
    component: componentOf(overrides),
    release: 7,
    host: 'host-1',
    imageId: 'sha256:aa',
    linkEnvironment: {},
    suffix: 'k3f9',
    ...input,
  });
}
