/**
 * `npm run test:faults -- --seed N --minutes M --hosts N --only KINDS --plane PLANE`: the fault campaign for as long as
 * wanted. Ends with 1 when anything was lost, happened or was left that should not; the same seed draws the same schedule.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { skipWithoutFleet } from '../e2e/fleet.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { faultCampaign, PLANES, type Planes } from './fleet-campaign.ts';
import { Logs } from './logs.ts';
import { type Kind, SORTS } from './schedule.ts';

const MINUTE = 60_000;
const PACE_MS = 4_000;
const LONGEST_STAY_MS = 30_000;
const HOSTS = ['a', 'b', 'c', 'd', 'e'];

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '5' },
    hosts: { type: 'string', default: '3' },
    members: { type: 'string', default: '3' },
    only: { type: 'string' },
    plane: { type: 'string', default: 'userspace' },
    keep: { type: 'boolean', default: false },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  if (skipWithoutFleet !== false) throw new Error(`no fleet can be made here: ${skipWithoutFleet}`);
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());
  const logs = new Logs(mkdtempSync(join(tmpdir(), 'gantryd-faults-')), (line) => console.log(line));
  const only = kindsOf(values.only);
  await faultCampaign({
    ...{
      seed: whole('seed', 0),
      ms: amount('minutes') * MINUTE,
      paceMs: PACE_MS,
      members: whole('members', 1),
    },
    ...{ hosts: HOSTS.slice(0, whole('hosts', 1)), logs },
    ...{ longestStayMs: LONGEST_STAY_MS, signal: stopping.signal, plane: planeOf(values.plane) },
    ...(only === undefined ? {} : { only }),
  });
  return told(logs);
}

function told(logs: Logs): number {
  const { problems, folder } = logs;
  if (problems.length === 0 && !values.keep) {
    logs.say('nothing failed');
    logs.remove();
    return 0;
  }
  const again = ['seed', 'minutes', 'hosts', 'members', 'only', 'plane'] as const;
  const words = again.flatMap((name) => (values[name] === undefined ? [] : [`--${name} ${values[name]}`]));
  logs.say(`${problems.length} problems${problems.length > 0 ? `, the first: ${problems[0]}` : ''}`);
  logs.say(`all that was told is in ${folder}`);
  logs.say(`again: npm run test:faults -- ${words.join(' ')}`);
  return problems.length === 0 ? 0 : 1;
}

function kindsOf(text: string | undefined): readonly Kind[] | undefined {
  const kinds = text?.split(',');
  const unknown = kinds?.find((kind) => !(kind in SORTS));
  if (unknown !== undefined)
    throw new Error(`no fault is called ${unknown}; there are ${Object.keys(SORTS).join(', ')}`);
  return kinds as readonly Kind[] | undefined;
}

function planeOf(text: string): Planes {
  const plane = PLANES.find((one) => one === text);
  if (plane === undefined) throw new Error(`--plane must be one of ${PLANES.join(', ')}, not ${text}`);
  if (plane !== 'userspace' && skipWithoutKernel !== false)
    throw new Error(`no kernel plane: ${skipWithoutKernel}`);
  return plane;
}

function whole(name: 'seed' | 'hosts' | 'members', least: number): number {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number >= least) return number;
  throw new Error(`--${name} must be a whole number, ${least} or more, not ${values[name]}`);
}

function amount(name: 'minutes'): number {
  const number = Number(values[name]);
  if (number > 0) return number;
  throw new Error(`--${name} must be more than 0, not ${values[name]}`);
}
