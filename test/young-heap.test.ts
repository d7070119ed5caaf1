/** A process that stays must not keep tens of megabytes for objects that died long ago. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const MOST_BYTES = 8 * 1024 * 1024;
const MODULE = new URL('../src/young-heap.js', import.meta.url).href;

test('the heap for young objects stays small under load, and grows without that', () => {
  assert.ok(youngBytes(`(await import('${MODULE}')).keepYoungHeapSmall();`) < MOST_BYTES);
  assert.ok(youngBytes('') > MOST_BYTES);
});

/** Of a process that makes many objects of which it keeps the last few. */
function youngBytes(first: string): number {
  const script = `
    ${first}
    const { getHeapSpaceStatistics } = await import('node:v8');
    const kept = [];
    for (let i = 0; i < 2e6; i++) kept[i % 20000] = { number: i, text: String(i), list: [i] };
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    console.log(young.physical_space_size);`;
  return Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }));
}
