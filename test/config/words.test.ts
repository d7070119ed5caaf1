import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatConstraint, parseConstraint } from '../../src/config/constraint.ts';
import { parseBytes, parseDuration } from '../../src/config/quantities.ts';
import { shellWords } from '../../src/config/shell-words.ts';

const WORDS: readonly (readonly [string, ...string[]])[] = [
  ['echo hello', 'echo', 'hello'],
  ['  echo   a\tb ', 'echo', 'a', 'b'],
  [`sh -c 'cat /in | wc -l > /out; true'`, 'sh', '-c', 'cat /in | wc -l > /out; true'],
  [`echo "a b"'c d'e\\ f ""`, 'echo', 'a bc de f', ''],
  [`echo "say \\"hi\\" \\\\ \\n"`, 'echo', 'say "hi" \\ \\n'],
  [`echo $HOME \${HOME}s "$1 \${x:-y}" '$z'`, 'echo', '$HOME', `\${HOME}s`, `$1 \${x:-y}`, '$z'],
  ['echo \\$HOME "\\$HOME" $$ $ a$', 'echo', '$HOME', '$HOME', '$$', '$', 'a$'],
  ['ls *.txt a? "b c"*', 'ls', '*.txt', 'a?', 'b c*'],
  ['a#b c="#d" \\#e', 'a#b', 'c=#d', '#e'],
  ['echo "$(date) `date`" \'a\nb\'', 'echo', '$(date) `date`', 'a\nb'],
  ['echo "a\nb"', 'echo', 'a\nb'],
  ['echo a \\\n  b', 'echo', 'a', 'b'],
  ['echo ~ {a,b} [x] !x %y é🚢', 'echo', '~', '{a,b}', '[x]', '!x', '%y', 'é🚢'],
  ['echo a=b --c="d e" \ue000', 'echo', 'a=b', '--c=d e', '\ue000'],
];

for (const [text, ...words] of WORDS) {
  test(`words of ${JSON.stringify(text)}`, () => assert.deepEqual(shellWords(text), { words }));
}

const NO_WORDS: readonly (readonly [string, RegExp])[] = [
  ['', /^must not be empty$/],
  [' \n ', /^must not be empty$/],
  ["echo 'a", /^has a ' without its other half$/],
  ['echo "a', /^has a " without its other half$/],
  ['echo a\\', /^ends in a backslash$/],
  ['echo a # b', /^has a comment/],
  ['a | b', /^has "\|", which needs a shell: write sh -c '…' around it$/],
  ['a > b', /^has ">"/],
  ['a < b', /^has "<"/],
  ['a; b', /^has ";"/],
  ['a && b', /^has "&"/],
  ['echo $(date)', /^has "\("/],
  ['echo `date`', /^has "`"/],
  ['a\nb', /^has a second line, which needs a shell/],
];

for (const [text, expected] of NO_WORDS) {
  test(`no words of ${JSON.stringify(text)}`, () => {
    const read = shellWords(text);
    assert.match('problem' in read ? read.problem : read.words.join(), expected);
  });
}

test('lengths of time', () => {
  const known: readonly (readonly [string, number | undefined])[] = [
    ['60s', 60_000],
    ['250ms', 250],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['1w', 604_800_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    [' 2H ', 7_200_000],
    ['1500', 1_500],
    ['0s', 0],
    ['', undefined],
    ['s', undefined],
    ['-5s', undefined],
    ['5 s', undefined],
    ['5y', undefined],
    ['1e3', undefined],
    ['99999999999999999d', undefined],
  ];
  for (const [text, ms] of known) assert.equal(parseDuration(text), ms, text);
  assert.equal(parseDuration('90', 1_000), 90_000);
});

test('amounts of memory', () => {
  assert.deepEqual(
    [67_108_864, '64m', '64M', '1g', '512k', '10b', '10'].map(parseBytes),
    [67_108_864, 67_108_864, 67_108_864, 1_073_741_824, 524_288, 10, 10],
  );
  assert.deepEqual(['0', '-1', 'm', '1.5g', '64mb', '', 0, 1.5].map(parseBytes), Array(8).fill(undefined));
});

test('a command is no longer than Linux takes, and however it is made it is read in no time', () => {
  const most = 128 * 1024;
  const priv = String.fromCharCode(...Array.from({ length: 6_000 }, (_, i) => 0xe000 + i));
  const parts = ['a', 'a ', "''", '""', '\\a', '\\"', 'a#', '$', '*', '{', '~', 'a"b"', priv];
  for (const part of parts) {
    const began = process.cpuUsage();
    const read = shellWords(`x ${part.repeat((most - 2) / part.length)}`);
    const took = process.cpuUsage(began).user / 1000;
    assert.ok('words' in read && took < 1_000, `${part.slice(0, 2)} took ${took} ms`);
  }
  assert.deepEqual(shellWords('a'.repeat(most + 1)), { problem: `is longer than ${most} characters` });
});

test('constraints in our words and in those of Swarm', () => {
  const host = { on: 'host', key: '', equals: true, value: 'h1' };
  const label = { on: 'label', key: 'disk.kind', equals: false, value: 'slow one' };
  assert.deepEqual(parseConstraint('host==h1'), host);
  assert.deepEqual(parseConstraint(' node.hostname == h1 '), host);
  assert.deepEqual(parseConstraint('label.disk.kind!=slow one'), label);
  assert.deepEqual(parseConstraint('node.labels.disk.kind != slow one'), label);
  for (const text of [
    '',
    'host',
    'host=h1',
    'host==',
    '==h1',
    'label.==x',
    'label.a',
    'role==x',
    'host>=h1',
    'host==\nx\ny',
  ]) {
    assert.equal(parseConstraint(text), undefined, text);
  }
});

test('a constraint can be written as it was read', () => {
  for (const text of ['host==h1', 'host!=h1', 'label.a.b==c', 'label.a!=c=d']) {
    const read = parseConstraint(text);
    assert.equal(read && formatConstraint(read), text);
  }
});
