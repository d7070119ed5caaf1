/** What programs read: a line tells something new, or is not there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const output = new URL('../../src/cli/output.js', import.meta.url).href;

async function told(whys: readonly string[]): Promise<readonly string[]> {
  const script = `
    const { openOutput } = await import(${JSON.stringify(output)});
    const out = openOutput({ json: true, level: 'info' });
    for (const why of ${JSON.stringify(whys)})
      out.event({ kind: 'waiting', for: 'drain', why, until: undefined, component: 'web', at: 0 });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { why: string }).why);
}

test('a drain that only grows older is one line for programs, one that changes another', async () => {
  const drains = (n: number, s: number) => `39d59e26ee64 drains: ${n} connections, the oldest for ${s} s`;
  const first = drains(2, 1);
  assert.deepEqual(await told([first, drains(2, 2), drains(2, 60), drains(3, 61)]), [first, drains(3, 61)]);
});
