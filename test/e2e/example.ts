/**
 * One example of examples/ in a private gantryd. Its project file is used as it is; overrides put it on free
 * ports and on images that only this test has.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { buildAppImage, removeAppImages } from '../ground/docker.ts';
import type { Cleanup } from '../ground/harness.ts';
import type { Running } from '../ground/processes.ts';
import type { Place } from '../ground/requests.ts';
import { type Sandbox, sandbox } from '../ground/sandbox.ts';
import { getText } from './shop.ts';

export interface Example {
  readonly box: Sandbox;
  /** Runs `gantry FILE ACTION COMPONENT …` and answers what it printed. Fails the test when it exits not 0. */
  gantry(action: string, component: string, ...overrides: readonly string[]): Promise<string>;
  /** The same to its end, whatever its exit code. */
  attempt(action: string, component: string, ...overrides: readonly string[]): ReturnType<Sandbox['gantry']>;
  start(
    action: string,
    component: string,
    overrides: readonly string[],
    options?: readonly string[],
  ): Running;
  /** Status column of `gantry FILE list COMPONENT`, sorted. */
  statuses(component: string): Promise<readonly string[]>;
}

/** `overrides`: PATH=VALUE for every command on the component. Makes the images v1 and v2. */
export async function openExample(
  t: Cleanup,
  file: string,
  overrides: Readonly<Record<string, readonly string[]>> = {},
): Promise<Example> {
  const box = await sandbox(t);
  const repo = `gantryd-example-${box.project}`;
  const tags = ['v1', 'v2'].map((version) => `${repo}:${version}`);
  t.after(() => removeAppImages(tags));
  for (const tag of tags) await buildAppImage({ tag, env: { VERSION: tag.slice(-2) } });

  const path = join(PACKAGE_ROOT, 'examples', file);
  const line = (action: string, component: string, more: readonly string[]) => [
    ...[path, action, component],
    ...[`repo=${repo}`, ...(overrides[component] ?? []), ...more].flatMap((set) => ['--set', set]),
  ];
  const attempt: Example['attempt'] = (action, component, ...more) =>
    box.gantry(line(action, component, more));
  return {
    box,
    attempt,
    async gantry(action, component, ...more) {
      const { code, stdout, stderr } = await attempt(action, component, ...more);
      assert.equal(code, 0, `gantry ${action} ${component}:\n${stdout}\n${stderr}`);
      return stdout;
    },
    start: (action, component, more, options = []) =>
      box.start('gantry', [...line(action, component, more), ...options]),
    async statuses(component) {
      const { stdout } = await attempt('list', component);
      return [...stdout.matchAll(/ (running|draining|starting|failed) /g)].map(([, s]) => s ?? '').sort();
    },
  };
}

/** Asserts that a command the test started has ended well; answers what it printed. */
export async function endedWell(running: Running): Promise<string> {
  const { code, stdout, stderr } = await running.ended;
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  return stdout;
}

/** The whole JSON answer to a GET. Any other status than 200 throws. */
export async function getJson(place: Place, path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await getText(place, path));
}
