/**
 * What the quickstart shows: version 1 of a web component serves, clients keep asking, version 2 replaces it,
 * and no request fails and no connection is cut. Every gantry command below is the real one, with its real
 * output. Exits with 1 when anything was lost. Run by run.mjs, which also cleans up after it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openStage } from './stage.mjs';
import { lossOf, summary, table } from './table.mjs';
import { startTraffic } from './traffic.mjs';

/** Long enough to see each state with one's own eyes. */
const BEFORE_UPDATE_MS = 2_000;
const WHILE_DRAINING_MS = 3_000;
const AFTER_DRAIN_MS = 1_000;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => interrupted.abort());
process.exitCode = await main(process.argv[2], interrupted.signal);

async function main(folder, signal) {
  try {
    return await demonstrate(await openStage(folder, signal), signal);
  } catch (error) {
    console.error(signal.aborted ? '\nInterrupted.' : `\n${error.message}`);
    return 1;
  }
}

async function demonstrate(stage, signal) {
  say('Building two versions of a small example image (the first takes some seconds)');
  await stage.buildImages(['v1', 'v2']);

  say(`Deploying version 1. The project file, ${stage.file}:`);
  stage.showFile();
  await stage.gantry('start web').done;
  await stage.gantry('list web').done;

  say(`Clients start asking http://127.0.0.1:${stage.port} and go on until the end`);
  const traffic = await startTraffic(stage.port);
  try {
    const times = await updateUnder(traffic, stage, signal);
    await traffic.stop();
    await stage.gantry('stop web').done;
    return report(traffic.seen(), times);
  } finally {
    await traffic.stop();
  }
}

async function updateUnder(traffic, stage, signal) {
  const pause = (ms) => delay(ms, undefined, { signal });
  await pause(BEFORE_UPDATE_MS);

  say('Updating to version 2, while the clients ask');
  const update = stage.gantry('update web --set tag=v2');
  await Promise.race([traffic.firstAnswer('v2'), update.done]);
  await pause(WHILE_DRAINING_MS / 2);
  say('Version 2 answers. The WebSocket and the event stream are still on version 1, which lives for them:');
  await stage.gantry('list web').done;
  await pause(WHILE_DRAINING_MS / 2);

  say('Closing the WebSocket and the event stream. The old container may go now');
  const closedAt = await traffic.closeStreams();
  const drainedAt = await update.done;
  await stage.gantry('list web').done;
  await pause(AFTER_DRAIN_MS);
  return { updateAt: update.startedAt, closedAt, drainedAt };
}

function report(seen, times) {
  say('What the clients saw');
  console.log(table(seen, times));
  console.log(`\n${summary(seen, times)}`);
  return lossOf(seen).length === 0 ? 0 : 1;
}

function say(line) {
  console.log(`\n== ${line}`);
}
