/**
 * Part `cli`: how long commands take that only look, beside `node -e 0`, interleaved round by round.
 * `node cli.mjs OUT.json ROUNDS`.
 */
import { writeFile } from 'node:fs/promises';
import { untilQuiet } from './machine.mjs';
import { COMPONENT, gantry, openStage, run } from './stage.mjs';

const QUIET_WAIT_MS = 5_000;

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

async function measure(rounds) {
  run(stage, gantry(stage, ['update', COMPONENT]));
  const commands = {
    'node -e 0': [process.execPath, '-e', '0'],
    'gantry --help': [...gantry(stage, []).slice(0, 2), '--help'],
    'gantry CONFIG list web': gantry(stage, ['list', COMPONENT]),
    'gantry CONFIG check': gantry(stage, ['check']),
  };
  for (const command of Object.values(commands)) run(stage, command);
  const times = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
  let disturbed = 0;
  for (let round = 0; round < rounds; round++) {
    if (!(await untilQuiet([], QUIET_WAIT_MS))) disturbed += 1;
    for (const [name, command] of Object.entries(commands)) times[name].push(elapsed(command));
  }
  return { rounds, disturbed, times };
}

function elapsed(command) {
  const began = performance.now();
  run(stage, command);
  return performance.now() - began;
}
