import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronProblem, cronTimes, MAX_COUNTED, timeZoneProblem } from '../../src/config/cron.ts';
import { readCron } from '../../src/config/cron-grammar.ts';
import { GantryError } from '../../src/errors.ts';

const at = (iso: string) => new Date(iso).getTime();

/** The next ticks in UTC, shortened to what matters. */
function ticks(cron: string, zone: string, after: string, most: number): string[] {
  const { instants } = cronTimes(cron, zone).within(at(after), at('2100-01-01T00:00:00Z'), most);
  return instants.map((instant) => new Date(instant).toISOString().replace(/:00\.000Z$|\.000Z$/, ''));
}

/** From Wednesday, 1 July 2026, 00:00:30 in UTC. */
const MEANING: readonly (readonly [string, ...string[]])[] = [
  ['* * * * *', '2026-07-01T00:01', '2026-07-01T00:02'],
  ['* * * * * *', '2026-07-01T00:01', '2026-07-01T00:02'],
  ['* * * * * * *', '2026-07-01T00:00:31', '2026-07-01T00:00:32'],
  ['0 0 1 1 * 2028', '2028-01-01T00:00'],
  ['0 0 1 1 * 2027-2031/2', '2027-01-01T00:00', '2029-01-01T00:00', '2031-01-01T00:00'],
  ['15 0 0 1 1 * 2028,2030', '2028-01-01T00:00:15', '2030-01-01T00:00:15'],
  ['@yearly', '2027-01-01T00:00', '2028-01-01T00:00'],
  ['@annually', '2027-01-01T00:00', '2028-01-01T00:00'],
  ['@monthly', '2026-08-01T00:00', '2026-09-01T00:00'],
  ['@weekly', '2026-07-05T00:00', '2026-07-12T00:00'],
  ['@daily', '2026-07-02T00:00', '2026-07-03T00:00'],
  ['@Midnight', '2026-07-02T00:00', '2026-07-03T00:00'],
  ['@hourly', '2026-07-01T01:00', '2026-07-01T02:00'],
  ['5/20 3 * * *', '2026-07-01T03:05', '2026-07-01T03:25', '2026-07-01T03:45', '2026-07-02T03:05'],
  ['10-30/10 3 * * *', '2026-07-01T03:10', '2026-07-01T03:20', '2026-07-01T03:30'],
  ['05,7 03 * * *', '2026-07-01T03:05', '2026-07-01T03:07', '2026-07-02T03:05'],
  ['1,* 3 * * *', '2026-07-01T03:00', '2026-07-01T03:01'],
  ['0 0 * JAN,march ?', '2027-01-01T00:00', '2027-01-02T00:00'],
  ['0 0 * * 0', '2026-07-05T00:00', '2026-07-12T00:00'],
  ['0 0 * * 7', '2026-07-05T00:00', '2026-07-12T00:00'],
  ['0 0 ? * fri-SUN', '2026-07-03T00:00', '2026-07-04T00:00', '2026-07-05T00:00', '2026-07-10T00:00'],
  ['0 0 * * 5-7', '2026-07-03T00:00', '2026-07-04T00:00', '2026-07-05T00:00', '2026-07-10T00:00'],
  ['0 0 * * Thursday/2', '2026-07-02T00:00', '2026-07-04T00:00', '2026-07-09T00:00'],
  ['0 0 L * *', '2026-07-31T00:00', '2026-08-31T00:00', '2026-09-30T00:00'],
  ['0 0 L,15 * *', '2026-07-15T00:00', '2026-07-31T00:00'],
  ['0 0 15W * *', '2026-07-15T00:00', '2026-08-14T00:00'],
  ['0 0 1W,15W * *', '2026-07-15T00:00', '2026-08-03T00:00', '2026-08-14T00:00'],
  ['0 0 29W * *', '2026-07-29T00:00', '2026-08-28T00:00'],
  ['0 0 LW * *', '2026-07-31T00:00', '2026-08-31T00:00', '2026-09-30T00:00', '2026-10-30T00:00'],
  ['0 0 * * 5L', '2026-07-31T00:00', '2026-08-28T00:00'],
  ['0 0 * * FRIL', '2026-07-31T00:00', '2026-08-28T00:00'],
  ['0 0 * * 7L', '2026-07-26T00:00', '2026-08-30T00:00'],
  ['0 0 * * 1#2', '2026-07-13T00:00', '2026-08-10T00:00'],
  ['0 0 * * 7#1,3#2', '2026-07-05T00:00', '2026-07-08T00:00', '2026-08-02T00:00'],
  // Both days restricted: either.
  ['0 0 13 * 5', '2026-07-03T00:00', '2026-07-10T00:00', '2026-07-13T00:00', '2026-07-17T00:00'],
  ['0 0 L * 1#1', '2026-07-06T00:00', '2026-07-31T00:00', '2026-08-03T00:00'],
  ['0 0 1 * */3', '2026-07-04T00:00', '2026-07-05T00:00', '2026-07-08T00:00'],
  // One of them not: the other one.
  ['0 0 13 * *', '2026-07-13T00:00', '2026-08-13T00:00'],
  ['0 0 29 2 *', '2028-02-29T00:00', '2032-02-29T00:00'],
];

for (const [cron, ...expected] of MEANING) {
  test(`"${cron}" falls due as cronexpr has it`, () =>
    assert.deepEqual(ticks(cron, 'UTC', '2026-07-01T00:00:30Z', expected.length), expected));
}

/** What comes around a change of clocks, in UTC, from the time before it. */
const CLOCKS: readonly (readonly [string, string, string, string, readonly string[]])[] = [
  // Berlin: 02:00 becomes 03:00 at 01:00 UTC.
  [
    'a time in the gap runs right after it',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-28',
    ['28T01:30', '29T01:00', '30T00:30'],
  ],
  [
    'times in the gap become one',
    '0,30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12',
    ['29T01:00', '30T00:00', '30T00:30'],
  ],
  [
    'what runs at the end of the gap anyway runs once',
    '30 2,3 * * *',
    'Europe/Berlin',
    '2026-03-28T12',
    ['29T01:00', '29T01:30', '30T00:30'],
  ],
  [
    'the day of the gap only',
    '30 2 29 3 * 2026-2027',
    'Europe/Berlin',
    '2026-03-28',
    ['29T01:00', '29T00:30'],
  ],
  [
    'an interval goes through real time',
    '*/30 * * * *',
    'Europe/Berlin',
    '2026-03-29T00:15',
    ['29T00:30', '29T01:00', '29T01:30'],
  ],
  [
    'an interval has no times in the gap',
    '*/30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12',
    ['30T00:00', '30T00:30'],
  ],
  ['even hours only', '0 */2 * * *', 'Europe/Berlin', '2026-03-28T22', ['28T23:00', '29T02:00', '29T04:00']],
  // Berlin: 03:00 becomes 02:00 at 01:00 UTC.
  [
    'a time that comes twice runs the first time',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12',
    ['25T00:30', '26T01:30'],
  ],
  [
    'a list of times too',
    '0,30 1-3 * * *',
    'Europe/Berlin',
    '2026-10-24T12',
    ['24T23:00', '24T23:30', '25T00:00', '25T00:30', '25T02:00', '25T02:30', '26T00:00'],
  ],
  [
    'an interval runs in both hours',
    '*/30 * * * *',
    'Europe/Berlin',
    '2026-10-25T00:15',
    ['25T00:30', '25T01:00', '25T01:30', '25T02:00'],
  ],
  [
    'an interval of one hour runs in both',
    '0 * * * *',
    'Europe/Berlin',
    '2026-10-24T23:30',
    ['25T00:00', '25T01:00', '25T02:00'],
  ],
  ['New York, gap', '30 2 * * *', 'America/New_York', '2026-03-07T12', ['08T07:00', '09T06:30']],
  ['New York, twice', '30 1 * * *', 'America/New_York', '2026-10-31T12', ['01T05:30', '02T06:30']],
  // Lord Howe: half an hour, at 02:00.
  ['Lord Howe, gap', '15 2 * * *', 'Australia/Lord_Howe', '2026-10-03', ['03T15:30', '04T15:15']],
  ['Lord Howe, twice', '45 1 * * *', 'Australia/Lord_Howe', '2026-04-04', ['04T14:45', '05T15:15']],
  [
    'Lord Howe, interval',
    '*/15 * * * *',
    'Australia/Lord_Howe',
    '2026-04-04T14:20',
    ['04T14:30', '04T14:45', '04T15:00', '04T15:15', '04T15:30'],
  ],
  ['a gap at midnight', '@daily', 'America/Santiago', '2026-09-05T12', ['06T04:00', '07T03:00']],
  ['UTC has none', '30 2 * * *', 'UTC', '2026-03-28T12', ['29T02:30', '30T02:30']],
];

for (const [name, cron, zone, from, expected] of CLOCKS) {
  test(`clocks are changed: ${name}`, () => {
    const after = `${from}${from.length === 10 ? 'T00:00' : from.length === 13 ? ':00' : ''}Z`;
    const found = ticks(cron, zone, after, expected.length).map((tick) => tick.slice(8));
    assert.deepEqual(found, expected);
  });
}

test('ticks go forward whatever they are asked from, and none is passed by', () => {
  const crons = ['30 2 * * *', '0,30 2,3 * * *', '15,45 1-2 * * *', '*/7 * * * *', '0 */2 * * *'];
  const nights = [
    ['Europe/Berlin', '2026-03-28T22:00:00Z'],
    ['Europe/Berlin', '2026-10-24T22:00:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T12:00:00Z'],
    ['Australia/Lord_Howe', '2026-10-03T12:00:00Z'],
  ] as const;
  for (const cron of crons) {
    for (const [zone, from] of nights) {
      const { next } = cronTimes(cron, zone);
      let known = next(at(from)) ?? 0;
      for (let after = at(from); after < at(from) + 6 * 3_600_000; after += 119_000) {
        const found = next(after) ?? 0;
        assert.equal(
          found,
          after < known ? known : next(known),
          `${cron} ${zone} ${new Date(after).toISOString()}`,
        );
        known = found;
      }
    }
  }
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['', /^has 0 fields; five are needed \(minute, hour, /],
  ['* * * *', /^has 4 fields; /],
  ['* * * * * * * *', /^has 8 fields; /],
  ['60 * * * *', /^field 1 \(minute\), "60": must be 0 to 59, not "60"$/],
  ['* 25 * * *', /^field 2 \(hour\), "25": must be 0 to 23, not "25"$/],
  ['* * 0 * *', /^field 3 \(day of the month\), "0": must be 1 to 31, not "0"$/],
  ['* * * 13 *', /^field 4 \(month\), "13": must be 1 to 12 or JAN to DEC, not "13"$/],
  ['* * * JNA *', /^field 4 .* not "jna"; did you mean "JAN"\?$/],
  ['* * * * 8', /^field 5 \(day of the week\), "8": must be 0 to 7 or SUN to SAT, not "8"$/],
  ['* * * * * 2100', /^field 6 \(year\), "2100": must be 1970 to 2099/],
  ['61 * * * * * *', /^field 1 \(second\)/],
  ['* * * * * * x', /^field 7 \(year\)/],
  ['1,,2 * * * *', /^field 1 .*something is missing beside a comma$/],
  ['1-2-3 * * * *', /more than one `-`$/],
  ['1/2/3 * * * *', /more than one `\/`$/],
  ['*/0 * * * *', /the step after `\/` must be a number from 1 to 59, not "0"$/],
  ['*/ * * * *', /the step after `\/` must be a number from 1 to 59, not ""$/],
  ['-5 * * * *', /must be 0 to 59, not nothing$/],
  ['+1 * * * *', /must be 0 to 59, not "\+1"$/],
  ['0 22-5 * * *', /a range cannot end before it begins; write "22-23,0-5"$/],
  ['0 0 L-3 * *', /^field 3 .*days before the last one cannot be counted; "L" is the last day/],
  ['0 0 * * L', /^field 5 .*"L" stands behind a day: "5L" is the last Friday of the month$/],
  ['0 0 1-5W * *', /"W" stands behind one day/],
  ['0 0 W * *', /"W" stands behind one day/],
  ['0 0 32W * *', /must be 1 to 31, not "32"/],
  ['0 0 * * 1#6', /behind `#` stands a number from 1 to 5/],
  ['0 0 * * 1-3L', /"L" stands behind one day/],
  ['* L * * *', /^field 2 \(hour\), "L": must be 0 to 23, not "l"$/],
  ['@reboot', /^"@reboot" is no time/],
  ['@dayly', /^there is no macro "@dayly"; known are .*did you mean "@daily"\?$/],
  ['0 0 30 2 *', /^has no time to come/],
  ['0 0 31 4,6 *', /^has no time to come/],
  ['0 0 1 1 * 2020', /^has no time to come/],
  ['0 0 29 2 * 2027', /^has no time to come/],
];

for (const [cron, expected] of WRONG) {
  test(`"${cron}" is refused with a reason`, () =>
    assert.match(cronProblem(cron, 'UTC', at('2026-07-01T00:00:00Z')) ?? 'accepted', expected));
}

test('what is right has no problem, and words become numbers', () => {
  assert.equal(cronProblem('*/5 * * * *', 'Europe/Berlin'), undefined);
  assert.deepEqual(readCron(' 5/20  0-6/2 lw JAN-mar sunL '), { pattern: '0 5-59/20 0-6/2 LW 1-3 0L *' });
});

test('times whose zone or expression is wrong cannot be had', () => {
  assert.throws(
    () => cronTimes('* * * *', 'UTC'),
    (error) => error instanceof GantryError && error.code === 'config-invalid',
  );
  assert.throws(() => cronTimes('* * * * *', 'Mars/Olympus'), /time zone "Mars\/Olympus" must be/);
  assert.equal(cronTimes('0 0 30 2 *', 'UTC').next(at('2026-07-01T00:00:00Z')), undefined);
});

test('a zone goes by its IANA name', () => {
  for (const zone of ['UTC', 'Europe/Berlin', 'America/Argentina/Ushuaia', 'europe/berlin']) {
    assert.equal(timeZoneProblem(zone), undefined);
  }
  for (const zone of ['', '+01:00', 'Mars/Olympus', '../UTC'])
    assert.match(timeZoneProblem(zone) ?? '', /IANA/);
  assert.match(timeZoneProblem('Europe/Berln') ?? '', /did you mean "Europe\/Berlin"\?$/);
});

test('a tick is strictly after the time asked from, to the millisecond', () => {
  const { next } = cronTimes('* * * * * * *', 'UTC');
  for (const after of [0, 1, 999]) assert.equal(next(5_000 + after), 6_000);
});

test('within gives as many as asked for, the upper end included, and says whether there are more', () => {
  const { within } = cronTimes('* * * * *', 'UTC');
  const [from, to] = [at('2026-07-01T00:00:00Z'), at('2026-07-01T00:03:00Z')];
  const minutes = [1, 2, 3].map((minute) => from + minute * 60_000);
  assert.deepEqual(within(from, to, 3), { instants: minutes, more: false });
  assert.deepEqual(within(from, to, 2), { instants: minutes.slice(0, 2), more: true });
  assert.deepEqual(within(from, to - 1, 3), { instants: minutes.slice(0, 2), more: false });
  assert.deepEqual(within(from, from, 3), { instants: [], more: false });
});

test('last finds the newest tick, and counts, where that is cheap', () => {
  const from = at('2026-07-01T00:00:00Z');
  const daily = cronTimes('0 3 * * *', 'Europe/Berlin');
  const year = at('2027-07-01T00:00:00Z');
  assert.deepEqual(daily.last(from, year), { instant: at('2027-06-30T01:00:00Z'), count: 365 });
  assert.equal(daily.last(from, from + 1_000), undefined);
});

test('last stays cheap for a gap of years in a schedule of seconds', () => {
  const cpu = process.cpuUsage();
  const { last } = cronTimes('* * * * * * *', 'Europe/Berlin');
  const upTo = at('2036-07-01T00:00:00.500Z');
  assert.deepEqual(last(at('2026-07-01T00:00:00Z'), upTo), { instant: upTo - 500, count: MAX_COUNTED });
  const bursts = cronTimes('* * 2 1 1 * *', 'UTC').last(
    at('2020-01-01T00:00:00Z'),
    at('2026-05-01T00:00:00Z'),
  );
  assert.equal(bursts?.instant, at('2026-01-01T02:59:59Z'));
  assert.ok(process.cpuUsage(cpu).user < 3_000_000);
});
