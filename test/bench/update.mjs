/**
 * Part `update`: from the start of `gantry update` to the first answer of the new version, in steps.
 * `node update.mjs OUT.json ROUNDS`.
 */
import { writeFile } from 'node:fs/promises';
import { Client, now } from './client.mjs';
import { untilQuiet } from './machine.mjs';
import { COMPONENT, follow, gantry, openStage, TAGS } from './stage.mjs';

const QUIET_WAIT_MS = 20_000;

const [out, rounds] = process.argv.slice(2);
const stage = await openStage();
let ending;
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => void finish().then(() => process.exit(1)));
try {
  await writeFile(out, JSON.stringify(await measure(Number(rounds))));
} finally {
  await finish();
}

/** Once, whoever asks first; nobody leaves before it is done. */
function finish() {
  ending ??= stage.close();
  return ending;
}

/** The first deploy starts the proxy as well, and the first update warms what it warms: neither counts. */
async function measure(rounds) {
  await update(TAGS[0]);
  await watched(TAGS[1]);
  const updates = [];
  for (let round = 0; round < rounds; round++) {
    const quiet = await untilQuiet([], QUIET_WAIT_MS);
    process.stderr.write(`bench: update ${round + 1} of ${rounds}\n`);
    updates.push({ quiet, ...(await watched(TAGS[round % TAGS.length])) });
  }
  return { updates };
}

async function watched(tag) {
  const client = new Client();
  try {
    const answered = client.firstOf(tag);
    const moments = await update(tag);
    return { ...moments, answered: await answered, asked: client.asked, failed: client.failed };
  } finally {
    await client.close();
  }
}

/** Moments of one update in epoch milliseconds. */
async function update(tag) {
  const moments = { began: now() };
  await follow(stage, gantry(stage, ['update', COMPONENT, '--set', `tag=${tag}`]), (event) =>
    note(moments, event),
  );
  return { ...moments, ended: now() };
}

function note(moments, { kind, at, purpose, verdict }) {
  const names = {
    'release-made': 'released',
    'container-created': 'created',
    'container-started': 'started',
    switched: 'switched',
  };
  const name = kind === 'check' && purpose === 'ready' && verdict.ok ? 'ready' : names[kind];
  if (name !== undefined) moments[name] = at;
}
