/** Steps and their specs for tests: defaults, overridden where a test cares. */
import type { Step } from '../../src/config/job.ts';
import type { JobContainerSpec } from '../../src/docker/job-engine.ts';
import { type JobSpecInput, jobContainerSpec } from '../../src/docker/job-spec.ts';

export function stepOf(overrides: Partial<Step> = {}): Step {
  return {
    name: '',
    image: 'app:1',
    environment: [],
    output: { kind: 'stdout' },
    refresh: false,
    networks: [],
    mounts: [],
    secrets: [],
    ...overrides,
  };
}

export function jobSpecOf(step: Partial<Step> = {}, input: Partial<JobSpecInput> = {}): JobContainerSpec {
  return jobContainerSpec({
    project: 'shop',
    run: 'r1',
    attempt: 1,
    step: stepOf(step),
    index: 0,
    host: 'host-1',
    imageId: 'sha256:aa',
    environment: [],
    binds: [],
    suffix: 'k3f9',
    ...input,
  });
}
