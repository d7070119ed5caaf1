/** The fleet's quickstart must show a rollout, a bad one and a rollback that lose nothing, and leave nothing behind. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { tempFolder } from '../ground/harness.ts';
import { start } from '../ground/processes.ts';
import { skipWithoutFleet } from './fleet.ts';

const RUN = [join(PACKAGE_ROOT, 'examples', 'fleet', 'run.mjs')];
const WAIT_MS = 120_000;

test("the fleet's quickstart shows a rollout, a bad one and a rollback, and loses nothing", {
  skip: skipWithoutFleet,
}, async (t) => {
  const folder = await tempFolder(t);
  const shown = await start(t, process.execPath, RUN, { env: environment(folder) }).ended;
  assert.equal(shown.code, 0, `${shown.stdout}\n${shown.stderr}`);
  for (const said of [
    /Component web -> [0-9a-f]{12} \(release 2\)/,
    /release 2 serves on all 3 hosts/,
    /Release 3 of web was rolled back to release 2: (alpha|beta|gamma): .*not ready within 5000 ms/,
    /3 +[0-9a-f]{12} .*failed: .*promising/,
    /Component web -> release 1/,
    /stopped on all 3 hosts/,
    /Nothing was lost/,
  ]) {
    assert.match(shown.stdout, said);
  }
  assertNothingLeft(folder);
});

test("Ctrl-C in the middle of the fleet's quickstart leaves nothing behind", {
  skip: skipWithoutFleet,
}, async (t) => {
  const folder = await tempFolder(t);
  const running = start(t, process.execPath, RUN, { env: environment(folder) });
  await running.says('Deploying version 1', WAIT_MS);
  running.signal('SIGINT');
  const { code, stdout } = await running.ended;
  assert.equal(code, 130, stdout);
  assert.match(stdout, /Removed hosts, engines, containers, images and files/);
  assertNothingLeft(folder);
});

/** What `npm test` has installed and built is used as it is. Its ground is in a folder of the test's own. */
function environment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, GANTRYD_QUICKSTART_PREPARED: '1', TMPDIR: folder };
}

function assertNothingLeft(folder: string): void {
  assert.deepEqual(readdirSync(folder), []);
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`);
  const left = processes.map(commandLine).filter((line) => line.includes(folder));
  assert.deepEqual(left, []);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // ended meanwhile
  }
}
