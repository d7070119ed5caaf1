/** Wrong command lines of `job` and `cron`: one message in the user's words, exit code 2. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, tempFolder } from '../../ground/harness.ts';
import { type Cli, cli } from '../../ground/processes.ts';
import { type Case, fails } from '../cases.ts';

const RUN = ['job', 'run', '--image', 'busybox:1'];

const CASES: readonly Omit<Case, 'code'>[] = [
  { args: ['job'], says: ['Say what to do', 'gantry --help'] },
  { args: ['job', 'rnu'], says: ['Unknown command "job rnu"; did you mean "job run"?'] },
  { command: 'gantryd', args: ['cron', 'lst'], says: ['"cron lst"; did you mean "cron list"?'] },
  { args: ['job', 'show'], says: ['Too few words', '`gantry job show ID`'] },
  { args: [...RUN, '--imput', 'x'], says: ['Unknown option --imput; did you mean "--input"?'] },
  { args: ['job', 'list', '--etcd', 'x'], says: ['Unknown option --etcd'] },
  { args: [...RUN, '--image', 'b'], says: ['--image is given more than once'] },
  { args: [...RUN, '--timeout', 'soon'], says: ['--timeout "soon" is no length of time'] },
  { args: [...RUN, '--env', '=1'], says: ['--env "=1" has no name'] },
  { args: [...RUN, '--env-file', 'bad.env'], says: ['bad.env:2: this line has no NAME='] },
  { args: [...RUN, '--input', 'nothing'], says: ['The input nothing cannot be read', 'Check --input'] },
  { args: [...RUN, '--secret', 'a=nothing'], says: ['--secret a: nothing cannot be read'] },
  { args: ['job', 'submit', '-', '--input', '-'], says: ['cannot both come from stdin'] },
  { args: ['job', 'submit', 'empty.json'], says: ['empty.json has 1 problem'] },
  { args: ['job', 'show', 'nobody'], says: ['local has no run nobody', 'job list'] },
  { args: ['cron', 'push'], says: ['There is no docket.yml and no schedules.yml here', 'cron push FILE'] },
  { args: ['cron', 'get', 'nobody'], says: ['local has no schedule nobody'] },
];

describe('a command line of job or cron', () => {
  let commands: Cli;
  let folder: string;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  before(async () => {
    folder = await tempFolder(cleanup);
    const own = cli(cleanup, folder);
    const inFolder = { cwd: folder };
    commands = {
      ...own,
      gantry: (args, options) => own.gantry(args, { ...inFolder, ...options }),
      gantryd: (args, options) => own.gantryd(args, { ...inFolder, ...options }),
    };
    await writeFile(join(folder, 'bad.env'), 'A=1\nno equals\n');
    await writeFile(join(folder, 'empty.json'), '{"steps": []}');
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  describe('that is wrong', { concurrency: 2 }, () => {
    for (const one of CASES)
      test(`${one.command ?? 'gantry'} ${one.args.join(' ')}`, () => fails(commands, { ...one, code: 2 }));
  });

  test('wins over a config file of that name, which is given as a path', async () => {
    await writeFile(join(folder, 'job'), '{}');
    assert.match((await commands.gantry(['job', 'list'])).stdout, /^No run is under way/);
    const config = await commands.gantry(['./job', 'list', 'web']);
    assert.deepEqual([config.code, config.stderr.includes('./job has')], [2, true], config.stderr);
  });

  test('lists as JSON', async () => {
    const { stdout } = await commands.gantry(['job', 'list', '--json']);
    assert.deepEqual(JSON.parse(stdout), { project: 'local', runs: [] });
    const schedules = await commands.gantry(['cron', 'list', '--json']);
    assert.deepEqual(JSON.parse(schedules.stdout), { project: 'local', schedules: [] });
  });
});
