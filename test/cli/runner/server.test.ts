import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStateDir } from '../../../src/agent/state-dir.ts';
import { runFilesIn } from '../../../src/api/jobs/run-files.ts';
import { RUNNER_SOCKET } from '../../../src/cli/runner/client.ts';
import { type Frame, FrameReader, frame, type Request } from '../../../src/cli/runner/frames.ts';
import { type BoxPlace, RunnerSelf, serveRunner } from '../../../src/cli/runner/server.ts';
import { openBoxStore } from '../../../src/cluster/box.ts';
import { keys } from '../../../src/cluster/keys.ts';
import { listRuns } from '../../../src/jobs/intents/intents.ts';
import { BOX_PROJECT } from '../../../src/secrets/box.ts';
import { PACKAGE_ROOT, VERSION } from '../../../src/version.ts';
import { type Cleanup, tempFolder } from '../../ground/harness.ts';

const REQUEST: Request = {
  ...{ version: VERSION, root: PACKAGE_ROOT, env: process.env },
  words: ['--image', 'none.example/none', '--command', 'true', '--name', 'agreed'],
};

test('a runner that ends makes what a command has agreed to first, so that the command finds it', async (t) => {
  const place = await boxPlace(t);
  const server = await serveRunner({ place, self: new RunnerSelf(0), emit: () => {} });
  const command = connect(join(place.box.stateDir, RUNNER_SOCKET));
  command.write(frame('asked', JSON.stringify(REQUEST)));
  const taken = await firstFrame(command);
  assert.equal(taken.kind, 'run', taken.bytes.toString('utf8'));
  const closed = server.close();
  command.write(frame('agreed'));
  await Promise.all([once(command, 'close'), closed]);
  const { run } = JSON.parse(taken.bytes.toString('utf8'));
  assert.deepEqual(
    (await listRuns(place.fleet)).map(({ id }) => id),
    [run],
  );
});

async function firstFrame(socket: ReturnType<typeof connect>): Promise<Frame> {
  const reader = new FrameReader();
  for (;;) {
    const [chunk] = await once(socket, 'data');
    const [first] = reader.read(chunk);
    if (first !== undefined) return first;
  }
}

async function boxPlace(t: Cleanup): Promise<BoxPlace> {
  const { path, hostId } = await openStateDir(join(await tempFolder(t), 'state'));
  const store = openBoxStore(path);
  t.after(() => store.close());
  const files = runFilesIn(path, BOX_PROJECT);
  return {
    box: { stateDir: path, hostId, docker: undefined },
    files: async () => files,
    sealingFor: async () => ({ stateDir: path, at: '', file: undefined, isPublishedTrusted: false }),
    fleet: { store, keys: keys(), project: BOX_PROJECT, by: 'me@box', now: Date.now, isBox: true },
  };
}
