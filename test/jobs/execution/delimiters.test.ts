import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelimiterFilter } from '../../../src/jobs/execution/delimiters.ts';

const MARKERS = { begin: 'BEGIN', end: 'END' };

function filtered(text: string | Buffer, size: number, markers = MARKERS): string {
  const bytes = Buffer.from(text);
  const filter = new DelimiterFilter(markers);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(...filter.take(bytes.subarray(at, at + size)));
  out.push(...filter.finish());
  return Buffer.concat(out).toString('latin1');
}

/** Line by line, as it is said. */
function expected(text: string, { begin, end } = MARKERS): string {
  const lines = text.split(/(?<=\n)/);
  let inside = false;
  let out = '';
  for (const line of lines) {
    const isMarker = line.replace(/\n$/, '') === (inside ? end : begin);
    if (isMarker) inside = !inside;
    else if (inside) out += line;
  }
  return out;
}

const CASES: Readonly<Record<string, string>> = {
  'between two markers': 'a\nBEGIN\nb\nc\nEND\nd\n',
  'more than once': 'BEGIN\n1\nEND\nno\nBEGIN\n2\nEND\n',
  'with nothing between': 'BEGIN\nEND\n',
  'lines that are almost markers':
    'BEGINS\n BEGIN\nBEGI\nBEGIN \nBEGIN\nENDS\nEN\n END\nE\n\nEND \nBEGIN\nEND\nEND\n',
  'no end': 'BEGIN\nrest\nof it',
  'a marker as the last line, without its end': 'BEGIN\nyes\nEND',
  'half a marker as the last line': 'BEGIN\nyes\nEN',
  'no marker at all': 'nothing\nhere\n',
  'empty lines': '\n\nBEGIN\n\n\nx\n\nEND\n\n',
  'a marker twice': 'BEGIN\nBEGIN\nx\nEND\nEND\n',
  'line ends of another system': 'BEGIN\r\nno\r\nBEGIN\nyes\r\nEND\r\nEND\n',
  nothing: '',
};

for (const [what, text] of Object.entries(CASES)) {
  test(`takes what stands ${what}, however it is cut`, () => {
    for (let size = 1; size <= text.length + 1; size++) {
      assert.equal(filtered(text, size), expected(text), `in pieces of ${size}`);
    }
  });
}

test('markers may be the same, or begin alike', () => {
  const text = 'x\n---\na\n---\nb\n---\nc\n';
  const same = { begin: '---', end: '---' };
  const alike = { begin: 'AA', end: 'AAA' };
  const other = 'AA\nA\nAA\nAAAA\nAAA\nno\n';
  for (let size = 1; size < 20; size++) {
    assert.equal(filtered(text, size, same), expected(text, same));
    assert.equal(filtered(other, size, alike), expected(other, alike));
  }
});

test('any text of few letters comes out as line by line', () => {
  let seed = 7;
  const dice = (sides: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * sides);
  };
  const markers = { begin: 'ab', end: 'ba' };
  for (let round = 0; round < 500; round++) {
    const text = Array.from({ length: dice(60) }, () => 'ab\n\n'[dice(4)]).join('');
    assert.equal(filtered(text, 1 + dice(9), markers), expected(text, markers), JSON.stringify(text));
  }
});

test('bytes that are no text pass as they are', () => {
  const binary = Buffer.from([0, 255, 254, 13, 0, 200]);
  const text = Buffer.concat([Buffer.from('BEGIN\n'), binary, Buffer.from('\nEND\n')]);
  assert.equal(filtered(text, 3), `${binary.toString('latin1')}\n`);
});

test('a line of any length passes as it comes: nothing of it is held back', () => {
  const filter = new DelimiterFilter(MARKERS);
  filter.take(Buffer.from('BEGIN\n'));
  const chunk = Buffer.alloc(1_000_000, 'x');
  for (let i = 0; i < 20; i++) assert.equal(Buffer.concat(filter.take(chunk)).length, chunk.length);
});
