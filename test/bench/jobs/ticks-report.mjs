/** The section `ticks` of the part `jobs` as Markdown: how many, how late, and what the late ones met. Pure. */
import { loadWords, number, table, target } from '../report.mjs';
import { median, quantile } from '../stats.mjs';

const TICKS = 1_000;
const SKEW_MS = 1_000;
/** What was broken so long before a tick may still be felt. */
const FELT_MS = 5_000;
/** Ticks that are told one by one. */
const MOST_LATE = 30;

/** Two ends of what is called a start. A claim that was not seen came before its container's work. */
const ENDS = {
  'a host has claimed its run': ({ claimed, worked }) => claimed ?? worked,
  'its container did its work': ({ worked }) => worked,
};

export function reportTicks({ ticks, faults, duplicates, misses, unfinished, ...load }) {
  const elections = faults.filter(({ kind }) => kind === 'leader');
  const ran = ticks.filter(({ worked }) => worked !== undefined);
  const quiet = ran.filter((tick) => feltBy(tick, elections).length === 0);
  const started = ran.map(ENDS['a host has claimed its run']);
  const p99 = quantile(started, 0.99);
  return [
    '### Ticks of a schedule under faults\n',
    `A tick a second, three hosts with agents and engines of their own, etcd of three members with its own defaults. Meanwhile ${faults.length - elections.length} agents were killed (SIGKILL) and started again, and etcd lost its leader ${elections.length} times${electionWords(elections)}. ${loadWords(load)}`,
    '',
    table(
      ['ticks', 'ran', 'twice', 'missed', 'runs left unfinished'],
      [[ticks.length, ran.length, duplicates.length, misses.length, unfinished]],
    ),
    '',
    'A run is claimed when etcd tells of it, as a client of each member heard it; with the claim its host goes on to start the container. What the container did is as this process saw it, with what the engine takes to start one.',
    '',
    table(
      ['from the tick until', 'of', 'ticks', 'p50 ms', 'p99 ms', 'max ms', `over ${number(SKEW_MS, 0)} ms`],
      Object.entries(ENDS).flatMap(([what, ms]) => [
        lateness(what, 'all', ran.map(ms)),
        lateness(what, `no leader lost in the ${FELT_MS / 1000} s before`, quiet.map(ms)),
      ]),
    ),
    '',
    ...lateTicks(ran, faults),
    ...[...duplicates, ...misses.map((run) => `${run} did not run`)].map((line) => `- ${line}`),
    target(
      `${number(TICKS, 0)} ticks, none twice, none missed, p99 until the run is claimed under ${number(SKEW_MS, 0)} ms`,
      ticks.length >= TICKS && duplicates.length === 0 && misses.length === 0 && p99 < SKEW_MS,
      `${ran.length} of ${ticks.length}, ${duplicates.length} twice, p99 ${number(p99, 0)} ms`,
    ),
    '',
  ].join('\n');
}

function electionWords(elections) {
  if (elections.length === 0) return '';
  const took = elections.map(({ at, over }) => over - at);
  const range = `${number(Math.min(...took), 0)} to ${number(Math.max(...took), 0)} ms`;
  return `, taking no writes for ${range} (${number(median(took), 0)} in the middle)`;
}

function lateness(what, of, ms) {
  if (ms.length === 0) return [what, of, 0, '', '', '', ''];
  const late = ms.filter((one) => one > SKEW_MS).length;
  const cells = [median(ms), quantile(ms, 0.99), Math.max(...ms)].map((one) => number(one, 0));
  return [what, of, ms.length, ...cells, late];
}

function lateTicks(ran, faults) {
  const late = ran.filter((tick) => Object.values(ENDS).some((ms) => ms(tick) > SKEW_MS));
  if (late.length === 0) return [];
  // Those that were claimed late first: on a busy machine the engine makes many others late.
  const latest = late
    .toSorted((a, b) => (b.claimed ?? b.worked) - (a.claimed ?? a.worked))
    .slice(0, MOST_LATE);
  const rows = latest.map((tick) => [
    new Date(tick.instant).toISOString().slice(11, 19),
    `${tick.by ?? 'one that could not tell'}, ${msWords(tick.made)}`,
    `${tick.claimant ?? '?'}, ${msWords(tick.claimed)}`,
    number(tick.worked, 0),
    feltBy(tick, faults)
      .map((fault) => faultWords(fault, tick))
      .join('; ') || 'nothing',
  ]);
  return [
    late.length > MOST_LATE
      ? `The ${MOST_LATE} of the ${late.length} late ones that were claimed last, in ms after the tick:`
      : 'The late ones, in ms after the tick:',
    '',
    table(['tick', 'made by, seen', 'claimed by, seen', 'container', 'what was broken then'], rows),
    '',
  ];
}

/** What was broken in the time before a tick, or until its container did its work. */
function feltBy({ instant, worked }, faults) {
  return faults.filter(({ at }) => at >= instant - FELT_MS && at <= instant + worked);
}

function faultWords({ kind, who, at, over }, { instant }) {
  const [from, to] = [at - instant, over - instant].map((ms) => number(ms, 0));
  return kind === 'leader'
    ? `no leader from ${from} to ${to} (${who})`
    : `agent ${who} away from ${from} to ${to}`;
}

function msWords(ms) {
  return ms === undefined ? 'not seen' : number(ms, 0);
}
