/**
 * What the fleet's quickstart shows: version 1 serves on three hosts, clients ask all of them, version 2 goes through
 * the hosts, version 3 is bad and goes back by itself, and a rollback returns to version 1. Every gantryd command is
 * the real one, with its real output. Answers 1 when anything was lost.
 */
import { lossOf, table } from '../quickstart/table.mjs';
import { startTraffic } from '../quickstart/traffic.mjs';
import { openStage } from './stage.mjs';

/** It fails its ready check for ever, as a release does whose database cannot be reached. */
const BAD = { READY_AFTER_MS: 3_600_000 };

export async function demonstrate(signal) {
  let stage;
  try {
    say('Making three hosts and an etcd on this machine');
    stage = await openStage(signal);
    await deploy(stage);
    return await underTraffic(stage);
  } catch (error) {
    console.error(signal.aborted ? '\nInterrupted.' : `\n${error.message}`);
    return 1;
  } finally {
    await stage?.close();
    say('Removed hosts, engines, containers, images and files');
  }
}

async function deploy(stage) {
  await stage.buildImages([{ tag: 'v1' }, { tag: 'v2' }, { tag: 'v3', env: BAD }]);
  say('The project file, for all hosts');
  console.log(stage.writeFile('v1').trimEnd().replaceAll(/^/gm, '  '));
  console.log(`\n$ export GANTRYD_ETCD=${stage.endpoint}`);
  await stage.gantryd('setconfig shop shop.json');

  say('An agent on every host:  $ gantryd run shop');
  await stage.agents();

  say('Deploying version 1');
  await stage.gantryd('update shop --wait');
  await stage.gantryd('list shop');
}

async function underTraffic(stage) {
  say(`Clients ask every host without a pause: ${stage.places.map((p) => `${p.host}:${p.port}`).join(', ')}`);
  const traffic = await Promise.all(stage.places.map(({ host, port }) => startTraffic(port, host)));
  try {
    const updateAt = await rollOut(stage);
    await Promise.all(traffic.map((clients) => clients.stop()));
    await stage.gantryd('stop shop --wait');
    return report(traffic, stage, updateAt);
  } finally {
    await Promise.all(traffic.map((clients) => clients.stop()));
  }
}

async function rollOut(stage) {
  say('Version 2, host by host:  "tag": "v2"');
  stage.writeFile('v2');
  await stage.gantryd('setconfig shop shop.json');
  const updateAt = Date.now();
  await stage.gantryd('update shop --wait');
  await stage.gantryd('list shop --hosts');

  say('Version 3, which never becomes ready:  "tag": "v3"');
  stage.writeFile('v3');
  await stage.gantryd('setconfig shop shop.json');
  await stage.gantryd('update shop --wait --note promising', [1]);
  await stage.gantryd('history shop -c web');

  say('Back to version 1, whose containers have gone: version 2 took their place as the one kept warm');
  await stage.gantryd('rollback shop --wait');
  say('And forth again: the containers of version 2 are warm, so no new one is started');
  await stage.gantryd('rollback shop -c web --to 2 --wait');
  await stage.gantryd('list shop --hosts');
  return updateAt;
}

function report(traffic, { places }, updateAt) {
  const lost = traffic.flatMap((clients) => lossOf(clients.seen()));
  for (const [i, clients] of traffic.entries()) {
    say(`What the clients of ${places[i].name} saw, in seconds from the update to version 2`);
    console.log(table(clients.seen(), { updateAt }));
  }
  say(lost.length === 0 ? 'Nothing was lost.' : `THIS WAS LOST:\n${lost.join('\n')}`);
  return lost.length === 0 ? 0 : 1;
}

function say(line) {
  console.log(`\n== ${line}`);
}
