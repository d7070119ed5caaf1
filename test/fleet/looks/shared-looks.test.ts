import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProxyPort } from '../../../src/agent/proxy-port.ts';
import { NO_PROXY } from '../../../src/agent/proxy-port.ts';
import type { Container, ContainerFilter, Engine } from '../../../src/docker/engine.ts';
import { lookingTogether, statusTogether } from '../../../src/fleet/looks/shared-looks.ts';

/** Answers when it is told to, with one container for each component that exists by then. */
class SlowEngine {
  readonly asked: ContainerFilter[] = [];
  readonly there: string[] = [];
  readonly #waiting: (() => void)[] = [];

  containers(filter: ContainerFilter): Promise<readonly Container[]> {
    this.asked.push(filter);
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (this.there.includes('broken')) return reject(new Error('the engine is away'));
        const named = this.there.filter((c) => filter.component === undefined || c === filter.component);
        resolve(named.map((component) => ({ id: component, component }) as Container));
      });
    });
  }

  answer(): void {
    for (const one of this.#waiting.splice(0)) one();
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function together() {
  const slow = new SlowEngine();
  const engine = lookingTogether(slow as unknown as Engine, 'shop', 'h1');
  const look = async (component: string) => {
    const found = await engine.containers({ project: 'shop', host: 'h1', component });
    return found.map(({ id }) => id);
  };
  return { slow, engine, look };
}

test('one who asks alone is asked for alone', async () => {
  const { slow, look } = together();
  slow.there.push('web', 'db');
  const web = look('web');
  slow.answer();
  assert.deepEqual(await web, ['web']);
  assert.deepEqual(slow.asked, [{ project: 'shop', host: 'h1', component: 'web' }]);
});

test('those who ask while another is answered share the next answer, each with its own part', async () => {
  const { slow, look } = together();
  slow.there.push('web', 'db', 'mail');
  const first = look('web');
  const others = [look('db'), look('mail'), look('web')];
  assert.equal(slow.asked.length, 1);
  slow.answer();
  assert.deepEqual(await first, ['web']);
  await turn();
  assert.deepEqual(slow.asked.slice(1), [{ project: 'shop', host: 'h1' }]);
  slow.answer();
  assert.deepEqual(await Promise.all(others), [['db'], ['mail'], ['web']]);
});

test('nobody gets an answer to a question that was asked before his own', async () => {
  const { slow, look } = together();
  const before = look('web');
  slow.there.push('web');
  const after = look('web');
  slow.there.pop();
  slow.answer();
  assert.deepEqual(await before, []);
  slow.there.push('web');
  await turn();
  slow.answer();
  assert.deepEqual(await after, ['web']);
});

test('a failure is told to all who shared the question, and to nobody after them', async () => {
  const { slow, look } = together();
  slow.there.push('broken');
  const all = [look('web'), look('db'), look('mail')].map((one) => assert.rejects(one, /away/));
  slow.answer();
  await turn();
  slow.answer();
  await Promise.all(all);
  slow.there.pop();
  slow.there.push('web');
  const later = look('web');
  slow.answer();
  assert.deepEqual(await later, ['web']);
});

test('questions about other projects and hosts are not shared', async () => {
  const { slow, engine } = together();
  const filters = [{ project: 'other', host: 'h1', component: 'web' }, { project: 'shop' }];
  const asked = filters.map((filter) => engine.containers(filter));
  assert.deepEqual(slow.asked, filters);
  slow.answer();
  await Promise.all(asked);
});

test('the status of the owner is shared, that of others is not', async () => {
  const asked: string[] = [];
  const status = async (of: string) => {
    asked.push(of);
    return NO_PROXY;
  };
  const port = { status } as unknown as ProxyPort;
  const proxy = statusTogether(port, 'shop');
  await Promise.all([
    proxy.status('shop'),
    proxy.status('shop'),
    proxy.status('shop'),
    proxy.status('other'),
  ]);
  assert.deepEqual(asked, ['shop', 'other', 'shop']);
});
