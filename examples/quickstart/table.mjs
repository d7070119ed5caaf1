/**
 * What the clients saw, in words: a table of requests and answers, the times that matter, and anything that
 * was lost. Pure; times are told in seconds before or after `update` was run.
 */
const STREAMS = 'the WebSocket and the event stream';

/** `seen`: the clients' tallies. `updateAt`: epoch milliseconds. */
export function table(seen, { updateAt }) {
  const versions = versionsIn(seen);
  const head = ['', 'connections', 'sent', 'failed', 'cut', ...versions.map((v) => `answered by ${v}`)];
  const rows = seen.map(({ name, connections, sent, failed, cut, versions: by }) => {
    const answers = versions.map((version) => answered(by.get(version), updateAt));
    return [name, ...[connections, sent, failed, cut].map(number), ...answers];
  });
  const totals = ['connections', 'sent', 'failed', 'cut'].map((field) => number(total(seen, field)));
  return aligned([head, ...rows, ['all', ...totals, ...versions.map(() => '')]]);
}

/** `closedAt`: the streams were closed; `drainedAt`: the update was done. */
export function summary(seen, { updateAt, closedAt, drainedAt }) {
  const newAt = firstAnswerOf('v2', seen);
  const lost = lossOf(seen);
  return [
    `Requests failed: ${number(total(seen, 'failed'))} of ${number(total(seen, 'sent'))}.`,
    `Connections cut: ${number(total(seen, 'cut'))} of ${number(total(seen, 'connections'))}.`,
    ...(newAt === undefined ? [] : times({ updateAt, newAt, closedAt, drainedAt })),
    ...(lost.length === 0 ? ['Nothing was lost.'] : ['THIS WAS LOST:', ...lost.map((line) => `  ${line}`)]),
  ].join('\n');
}

/** Everything that went wrong, what happened often told once; empty when all went well. */
export function lossOf(seen) {
  const all = seen.flatMap((tally) => tally.errors);
  const lines = [...new Set(all)].map((error) => {
    return `${number(all.filter((other) => other === error).length)} x ${error}`;
  });
  return firstAnswerOf('v2', seen) === undefined ? [...lines, 'v2 never answered'] : lines;
}

function times({ updateAt, newAt, closedAt, drainedAt }) {
  const first = `From \`update\` to the first answer of v2: ${seconds(newAt - updateAt)}.`;
  const drained = `The old container then drained for ${seconds(drainedAt - newAt)}:`;
  if (drainedAt < closedAt) return [first, `${drained} it did not wait for ${STREAMS}.`];
  const [held, rest] = [closedAt - newAt, drainedAt - closedAt].map(seconds);
  return [
    first,
    `${drained} ${STREAMS} held it for ${held},`,
    `and ${rest} after they were closed it was gone and the update done.`,
  ];
}

function answered(by, updateAt) {
  if (by === undefined) return '-';
  const [from, to] = [by.firstAt, by.lastAt].map((at) => signed((at - updateAt) / 1000));
  return `${number(by.count)} (${from} to ${to} s)`;
}

function versionsIn(seen) {
  return [...new Set(seen.flatMap((tally) => [...tally.versions.keys()]))].sort();
}

function firstAnswerOf(version, seen) {
  return seen
    .map((tally) => tally.versions.get(version)?.firstAt)
    .filter((at) => at !== undefined)
    .sort((a, b) => a - b)[0];
}

function total(seen, field) {
  return seen.reduce((sum, tally) => sum + tally[field], 0);
}

/** The first column to the left, the others to the right. */
function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const cell = (text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column]));
  return rows.map((row) => row.map(cell).join('  ').trimEnd()).join('\n');
}

function number(value) {
  return value.toLocaleString('en');
}

function signed(value) {
  return `${value < 0 ? '' : '+'}${value.toFixed(1)}`;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
