/** The clients of the workflow engine, the cron server and the service connector must find what they know, on a real fleet. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { busyboxImage, uniqueTag } from '../docker/images.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { Endings, skipWithoutFleet, WAIT_MS } from './fleet.ts';
import { type JobShop, openJobShop } from './fleet-jobs.ts';

const API = '127.0.0.1:3000';
/** Prints what the answer was, as JSON. */
const ASK = `const [method, path, body] = process.argv.slice(1);
fetch('http://${API}' + path, { method, ...(body && { body }) }).then(async (answer) =>
  console.log(JSON.stringify({ status: answer.status, text: await answer.text() })));`;

describe('older clients and a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let jobs: JobShop;
  let host: Host;
  before(async () => {
    jobs = await openJobShop(endings, ['a']);
    host = jobs.shop.fleet.host('a');
    const { env } = jobs.shop;
    const agent = (...words: readonly string[]) =>
      host.agent(['run', ...words, '--host-name', 'a', '--json'], { env });
    const agents = [agent('jobs', '--api', API, '--api-open'), agent('services')];
    await Promise.all(agents.map((running) => running.says('"kind":"running"', WAIT_MS)));
  });
  after(() => endings.run());

  async function ask(method: string, path: string, body?: object) {
    const words = ['-e', ASK, method, path, ...(body === undefined ? [] : [JSON.stringify(body)])];
    const { stdout } = await host.run(process.execPath, words);
    const { status, text } = JSON.parse(stdout) as { status: number; text: string };
    return {
      status,
      text,
      json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined,
    };
  }

  test('a job of the workflow engine runs, step by step, and its lines are to be had', async () => {
    const [words, sort] = [uniqueTag(), uniqueTag()];
    const print = 'CMD ["sh","-c","for word in $WORDS; do echo $word; done"]';
    await busyboxImage(host.docker, words, { changes: [print] });
    await busyboxImage(host.docker, sort, { changes: ['CMD ["sort"]'] });
    const environment = [{ variable: 'WORDS', value: 'b a c' }];
    const steps = [{ source: words, environment }, { source: sort }];
    const made = await until(
      async () => {
        const answer = await ask('POST', '/jobs', { name: 'words', steps });
        return answer.status === 201 ? answer : undefined;
      },
      { timeoutMs: WAIT_MS, what: 'a host that runs jobs' },
    );
    const { id } = made.json;
    const over = await until(
      async () => {
        const { json } = await ask('GET', `/jobs/${id}`);
        return json.status === undefined || json.status === 'running' ? undefined : json;
      },
      { timeoutMs: WAIT_MS, what: 'the end of the job' },
    );
    assert.deepEqual(over, { id, stepsCompleted: 2, status: 'complete' });
    assert.deepEqual((await ask('GET', `/jobs/${id}/log?index=1`)).json, {
      lines: ['a', 'c', 'a', 'b', 'c'],
    });
    assert.equal((await ask('DELETE', `/jobs/${id}`)).status, 204);
  });

  test('an allocation of the cron server runs, and its Logs tell of it', async () => {
    const Container = { Config: { Image: jobs.image, Cmd: ['echo', 'hello'] } };
    const pushed = await ask('POST', '/cron', { Name: 'often', Cron: '* * * * * * *', Container });
    assert.deepEqual(pushed.json, { created: true });
    const logs = await until(
      async () => {
        const { Logs } = (await ask('GET', '/cron/often')).json;
        const isOver = Logs.some((line: string) => line.includes('with exit code 0'));
        return isOver ? Logs.join('\n') : undefined;
      },
      { timeoutMs: WAIT_MS, what: 'a run that ended' },
    );
    assert.match(logs, /\[created: often\.\S+ [0-9a-f]{64}\][\s\S]*\[started: [\s\S]*\[ended: /);
    assert.deepEqual((await ask('DELETE', '/cron/often')).json, { deleted: true });
  });

  test('a service of the connector has as many containers as it is scaled to', async () => {
    const sleeper = { name: 'sleeper', image: jobs.image, command: 'sleep 1000' };
    assert.equal((await ask('POST', '/service', sleeper)).status, 200);
    const count = async () => (await ask('GET', '/service/sleeper/status')).json.running_resources;
    assert.equal(await count(), 0);
    for (const number of [2, 1]) {
      const { status, text } = await ask('POST', '/service/sleeper/scale', { number });
      assert.equal(status, 200, text);
      assert.equal(await count(), number);
    }
  });
});
