import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import type { FleetLine } from '../../../src/api/logs/fleet-log.ts';
import { LogPrinter, type PrinterOptions } from '../../../src/cli/fleet/logs.ts';

class Sink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.text += chunk.toString();
    done();
  }
}

function printed(container: string, text: string, stream: 'stdout' | 'stderr' = 'stdout'): FleetLine {
  return { host: 'a', container, release: 1, stream, time: '2030-01-01T00:00:00.000000000Z', text };
}

function printer(options: Omit<PrinterOptions, 'streams'> = { json: false }) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  return { printer: new LogPrinter({ ...options, streams: { stdout, stderr } }), stdout, stderr };
}

async function tellAll(to: LogPrinter, lines: readonly FleetLine[]): Promise<void> {
  for (const line of lines) assert.equal(await to.tell(line), true);
}

describe('logs for people', () => {
  test('of one container are what it printed, to the streams it printed it to', async () => {
    const one = printer();
    await tellAll(one.printer, [
      { host: 'a', containers: 1 },
      printed('c1', 'out'),
      printed('c1', 'err', 'stderr'),
    ]);
    assert.deepEqual([one.stdout.text, one.stderr.text], ['out\n', 'err\n']);
    assert.equal(one.printer.hasMissed, false);
  });

  test('of several say whose each line is, and from when on there are several', async () => {
    const two = printer();
    await tellAll(two.printer, [{ host: 'a', containers: 2 }, printed('c1', 'x')]);
    assert.equal(two.stdout.text, 'a/c1 | x\n');
    const later = printer();
    await tellAll(later.printer, [
      { host: 'a', containers: 1 },
      ...[printed('c1', 'x'), printed('c2', 'y'), printed('c1', 'z')],
    ]);
    assert.equal(later.stdout.text, 'x\na/c2 | y\na/c1 | z\n');
  });

  test('tell on stderr what is missing, until it is there again', async () => {
    const { printer: to, stderr } = printer();
    await tellAll(to, [{ host: 'b', note: 'does not answer', missed: true }]);
    assert.deepEqual([stderr.text, to.hasMissed], ['b: does not answer\n', true]);
    await tellAll(to, [{ host: 'b', note: 'its log goes on', back: true }]);
    assert.equal(to.hasMissed, false);
    await tellAll(to, [{ host: 'b', container: 'c1', note: 'cannot be read' }]);
    assert.equal(to.hasMissed, true);
  });

  test('end when nobody reads them', async () => {
    const { printer: to, stdout } = printer();
    stdout.destroy();
    assert.equal(await to.tell(printed('c1', 'x')), false);
  });
});

test('logs for programs are one value a line, on stdout alone', async () => {
  const { printer: to, stdout, stderr } = printer({ json: true });
  const note: FleetLine = { host: 'b', note: 'does not answer', missed: true };
  await tellAll(to, [{ host: 'a', containers: 1 }, printed('c1', 'err', 'stderr'), note]);
  assert.equal(stderr.text, '');
  const lines = stdout.text.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [printed('c1', 'err', 'stderr'), note],
  );
});
