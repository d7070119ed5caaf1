/** A wrong command line must end with 2 and one message in the user's words; help and version with 0. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, tempFolder } from '../ground/harness.ts';
import { type Cli, cli } from '../ground/processes.ts';
import { type Case, fails, lastJson } from './cases.ts';

const ACTIONS = 'list, start, update, stop, kill, scale, check';
const ON = ['shop.yaml', 'list', 'web'];

const CASES: readonly Omit<Case, 'code'>[] = [
  { args: [], says: ['Too few words', '`gantry shop.yaml update web`', 'gantry --help'] },
  { args: ['shop.yaml'], says: ['Too few words'] },
  { command: 'gantryd', args: [], says: ['Say what to do', 'gantryd --help'] },
  { command: 'gantryd', args: ['local'], says: ['`gantryd local update shop.yaml web`'] },
  { command: 'gantryd', args: ['local', 'update'], says: ['`gantryd local update shop.yaml web`'] },
  { command: 'gantryd', args: ['proxy'], says: ['`gantryd proxy status`'] },
  {
    command: 'gantryd',
    args: ['proxy', 'halt'],
    says: ['"halt" is no action', 'status, metrics, start, upgrade, stop'],
  },
  { command: 'gantryd', args: ['drains', 'cu'], says: ['"cu" is no action; did you mean "cut"?'] },
  { command: 'gantryd', args: ['drains', 'cut'], says: ['at least 4 characters', '`gantryd drains`'] },
  { command: 'gantryd', args: ['drains', 'cut', 'abcd', '--all'], says: ['--all and -c are for the list'] },
  { command: 'gantryd', args: ['drains', 'cut', 'abcd', '--client', 'me'], says: ['"me"', 'ADDRESS:PORT'] },
  { command: 'gantryd', args: ['drains', 'cut', 'abcd', '--idle', '-1'], says: ['--idle is a whole number'] },
  { command: 'gantryd', args: ['drains', '--idle', '5'], says: ['--idle and --force are of'] },
  { command: 'gantryd', args: ['drains', '--forse'], says: ['did you mean "--force"?'] },
  { command: 'gantryd', args: ['locl'], says: ['Unknown command "locl"; did you mean "local"?'] },
  { command: 'gantryd', args: ['shop.yaml', 'list', 'web'], says: ['Unknown command "shop.yaml"'] },
  { args: ['shop.yaml', 'updat', 'web'], says: ['"updat" is no action; did you mean "update"?', ACTIONS] },
  { args: ['list', 'shop.yaml', 'web'], says: ['The config comes first: gantry CONFIG list COMPONENT'] },
  { command: 'gantryd', args: ['local', 'shop.yaml', 'list', 'web'], says: ['"shop.yaml" is no action'] },
  { args: [...ON, 'extra'], says: ['Unexpected word "extra"'] },
  { args: [...ON, '--jsn'], says: ['Unknown option --jsn; did you mean "--json"?'] },
  { args: [...ON, '--jsn', '--forse=x'], says: ['--json', 'nknown option --forse', '"--force"'] },
  { args: [...ON, '-x'], says: ['Unknown option -x'] },
  { args: [...ON, '--set'], says: ['--set needs a value'] },
  { args: [...ON, '--state-dir'], says: ['--state-dir needs a value'] },
  { args: [...ON, '--state-dir', ''], says: ['--state-dir needs a value'] },
  { args: [...ON, '--docker', 'a', '--docker', 'b'], says: ['--docker is given more than once'] },
  { args: [...ON, '--log-level'], says: ['--log-level needs a value'] },
  { args: [...ON, '--log-level', 'lots'], says: ['--log-level cannot be "lots"', 'debug, info, warn'] },
  { args: [...ON, '--log-level', 'silet'], says: ['did you mean "silent"?'] },
];

describe('the command line', () => {
  let commands: Cli;
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  const cleanups: (() => Promise<void> | void)[] = [];
  before(async () => {
    commands = cli(cleanup, await tempFolder(cleanup));
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  describe('that is wrong', { concurrency: 2 }, () => {
    for (const one of CASES)
      test(`${one.command ?? 'gantry'} ${one.args.join(' ')}`, () => fails(commands, { ...one, code: 2 }));
  });

  test('that is wrong is a JSON line on stdout with --json, and nothing on stderr', async () => {
    const { code, stdout, stderr } = await commands.gantry([...ON, 'extra', '--json']);
    assert.deepEqual([code, stderr], [2, '']);
    const { kind, code: word, message, hint, retryable } = lastJson(stdout);
    assert.deepEqual([kind, word, message], ['error', 'usage', 'Unexpected word "extra"']);
    assert.deepEqual([typeof hint, retryable], ['string', false]);
  });

  for (const command of ['gantry', 'gantryd'] as const) {
    test(`${command} tells its version, its help and a completion script`, async () => {
      const version = await commands[command](['--version']);
      assert.deepEqual([version.code, version.stderr], [0, '']);
      assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
      const help = await commands[command](['--help']);
      assert.equal(help.code, 0);
      for (const words of ['--state-dir', '--docker', '--json', '--log-level', 'Exit codes: 0 done'])
        assert.ok(help.stdout.includes(words), words);
      const completion = await commands[command](['completion']);
      assert.equal(completion.code, 0);
      assert.match(completion.stdout, new RegExp(`${command} --get-yargs-completions`));
    });
  }

  test('help of a command tells its own options', async () => {
    const { stdout } = await commands.gantryd(['local', '--help']);
    for (const words of ['--monitor', '--dry-run', '--detach', '--pull', '--set'])
      assert.ok(stdout.includes(words));
    assert.match((await commands.gantryd(['proxy', '--help'])).stdout, /--force/);
  });
});
