/** A table of commands that must fail, each with one message on stderr that says what happened and what to do. */
import assert from 'node:assert/strict';
import type { Cli, RunResult } from '../ground/processes.ts';

export interface Case {
  readonly command?: 'gantry' | 'gantryd';
  readonly args: readonly string[];
  readonly code: 1 | 2;
  /** What the message must say. */
  readonly says: readonly (string | RegExp)[];
  readonly env?: NodeJS.ProcessEnv;
}

export async function fails(cli: Cli, { command = 'gantry', args, code, says, env }: Case): Promise<void> {
  const result = await cli[command](args, env === undefined ? {} : { env });
  const what = `${command} ${args.join(' ')} answered ${result.code}\n${result.stdout}\n${result.stderr}`;
  assert.equal(result.code, code, what);
  isOneMessage(result, what);
  for (const words of says) {
    const told = typeof words === 'string' ? result.stderr.includes(words) : words.test(result.stderr);
    assert.ok(told, `does not say ${words}:\n${what}`);
  }
}

/** One error, no stack trace, nothing that a person does not understand. */
export function isOneMessage({ stderr }: RunResult, what: string = stderr): void {
  assert.match(stderr, /^Error: \S/, what);
  assert.equal(stderr.match(/^Error: /gm)?.length, 1, what);
  assert.doesNotMatch(stderr, /^\s+at .*:\d+/m, what);
  assert.doesNotMatch(stderr, /undefined|\[object|Unexpected: /, what);
}

/** The last JSON value on stdout, which must hold JSON lines alone. */
export function lastJson(stdout: string): Readonly<Record<string, unknown>> {
  const lines = stdout.trimEnd().split('\n');
  const values = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return values.at(-1) ?? {};
}
