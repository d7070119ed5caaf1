/** What the commands on a fleet say to people and to programs, with real agents, and how they end. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../ground/harness.ts';
import {
  type Agent,
  Endings,
  type FleetShop,
  openFleetShop,
  PROJECT,
  skipWithoutFleet,
  WAIT_MS,
} from './fleet.ts';
import { hold, letQueue, rolloutOf, untilAnswering } from './fleet-acts.ts';
import { KEYS } from './fleet-faults.ts';
import { type Event, exitedWith, getText, jsonLines } from './shop.ts';

/** Five seconds are promised; a machine that is busy with other things takes longer. */
const ETCD_DOWN_MS = 15_000;
const NEVER_READY = {
  environmentVariables: [{ name: 'READY_AFTER_MS', value: '600000' }],
  readyTimeout: 600_000,
};
const LOOKS = ['getconfig', 'list', 'list --hosts', 'history', 'why', 'rollout status'];

describe('the commands on a fleet', { skip: skipWithoutFleet }, () => {
  const endings = new Endings();
  let shop: FleetShop;
  before(async () => {
    shop = await openFleetShop(endings, { hosts: ['a', 'b'] });
  });
  after(() => endings.run());

  test('end with 4 when there is no host, with 2 for what nobody knows', async (t) => {
    t.after(() => shop.clear());
    await shop.setConfig('v1');
    const nobody = await shop.gantryd('update', '--wait');
    exitedWith(4, nobody);
    assert.match(nobody.stderr, /No live host runs web; the first agent that comes will run release 1/);
    const strange = await shop.gantryd('update', '-c', 'wbe', '--json');
    exitedWith(2, strange);
    assert.equal(lastLine(strange.stdout).code, 'component-unknown');
    assert.match(String(lastLine(strange.stdout).message), /did you mean "web"/);
    for (const action of ['update', 'list', 'stop']) {
      const other = await shop.first.gantryd([action, 'bakery', '--json'], { env: shop.env });
      exitedWith(2, other);
      assert.equal(lastLine(other.stdout).code, 'project-unknown', action);
    }
  });

  describe('with agents, each as the one before has left it', () => {
    let agents: readonly Agent[];
    before(async () => {
      agents = await shop.agents();
    });
    after(() => shop.clear());

    /** The release that the next update makes. */
    async function next(): Promise<number> {
      return (await shop.values(KEYS.releases('web').from)).length + 1;
    }

    test('list --watch shows every change until it is ended', async () => {
      const phases = (event: Event) =>
        ((event.hosts ?? []) as { host: string; phase: string }[]).map((h) => `${h.host} ${h.phase}`).join();
      await shop.setConfig('v1');
      const watch = shop.begin('list', '--watch', '--hosts');
      const shows = async (wanted: string) => {
        const isShown = () => watch.events().some((event) => phases(event) === wanted);
        await until(isShown, { timeoutMs: WAIT_MS, what: `list to show ${wanted}` });
      };
      await shows('a idle,b idle');
      await shop.must('update');
      await shows('a serving,b serving');
      await shop.must('stop');
      await shows('a stopped,b stopped');
      watch.signal('SIGINT');
      exitedWith(0, await watch.ended);
    });

    test('say what is asked for and how it is, in words and for programs', async () => {
      const release = await next();
      await shop.setConfig('v1');
      const file = join(shop.first.folder, 'again.json');
      const stored = await shop.must('getconfig');
      await writeFile(file, stored);
      assert.equal(await shop.must('setconfig', file), 'Configuration updated\n');
      assert.equal(await shop.must('getconfig'), stored);

      const update = await shop.must('update', '--wait', '--note', 'the first');
      const [, id] = /^Component web -> ([0-9a-f]{12})/m.exec(update) ?? [];
      assert.match(update, /^Updating the image IDs on components\nComponent web -> /);
      assert.match(update, new RegExp(`^web: release ${release} serves on all 2 hosts$`, 'm'));
      assert.deepEqual(table(await shop.must('list')), [
        ['COMPONENT', 'STATUS', 'IMAGE ID'],
        ['web', 'ready', id],
      ]);
      const [head, ...hosts] = table(await shop.must('list', '--hosts'));
      assert.deepEqual(head, ['COMPONENT', 'HOST', 'RELEASE', 'PHASE', 'CONNECTIONS', 'AGE', 'LAST CHECK']);
      for (const [i, name] of ['a', 'b'].entries()) {
        const [component, host, number, phase, , age, check] = hosts[i] ?? [];
        assert.deepEqual([component, host, number, phase], ['web', name, `${release}`, 'serving']);
        assert.match(age ?? '', /^\d+ s$/);
        assert.match(check ?? '', /answered 200/);
      }
      assert.match(
        await shop.must('history', '-c', 'web'),
        new RegExp(
          `^${release} \\* +${id} +gantryd-e2e-fleet:app +\\S+Z +\\S+@a +completed +the first$`,
          'm',
        ),
      );
      const why = await shop.must('why', '-c', 'web');
      assert.match(
        why,
        new RegExp(
          `^web is to run release ${release} \\(gantryd-e2e-fleet:app, [0-9a-f]{12}\\), asked for by \\S+@a `,
        ),
      );
      assert.match(why, new RegExp(`^a: serving for \\d+ s, release ${release} serves, as wanted$`, 'm'));
      for (const look of LOOKS) await isOneDocument(look);

      const stop = await shop.must('stop', '--wait');
      assert.match(
        stop,
        new RegExp(
          `^Marking components as stopped\nComponent web -> stopped \\(release ${release} is kept\\)$`,
          'm',
        ),
      );
      assert.match(stop, /^web: stopped on all 2 hosts$/m);
      assert.deepEqual(table(await shop.must('list'))[1], ['web', 'stopped', id]);
      assert.match(await shop.must('kill'), /^Component web -> killed/m);
      const back = await shop.must('rollback', '-c', 'web', '--to', `${release}`);
      assert.match(back, new RegExp(`^Component web -> release ${release}$`, 'm'));
    });

    test('may be killed while they follow: the rollout goes on', async () => {
      await shop.deploy('v1');
      await shop.setConfig('v2');
      const update = shop.begin('update', '--wait');
      await until(() => update.events().length > 0, {
        timeoutMs: WAIT_MS,
        what: 'the update to be asked for',
      });
      update.signal('SIGKILL');
      await update.ended;
      await untilAnswering(shop, 'v2');
      const isDone = async () => (await rolloutOf(shop)).state === 'done';
      await until(isDone, { timeoutMs: WAIT_MS, what: 'the rollout to be done' });
    });

    test('tell whose turn it is and what the last check saw, and end with 3 when the time is over', async () => {
      await shop.deploy('v1');
      const release = await next();
      const now = release - 1;
      await shop.setConfig('v2', NEVER_READY);
      hold(agents.slice(1));
      const waiting = shop.gantryd('update', '--wait', '--timeout', '8');
      await letQueue(shop, agents);
      let why = '';
      const isTold = async () => {
        why = await shop.must('why', '-c', 'web');
        return [/answered 503/, /\| example app v2 listens/, /this host is next/].every((told) =>
          told.test(why),
        );
      };
      await until(isTold, { timeoutMs: WAIT_MS, what: 'why to tell of check, log and turn' });
      assert.match(why, /^The rollout, begun .* ago, is running\.\na has its turn; b is next\.$/m);
      assert.match(
        why,
        new RegExp(
          `^a: starting for \\d+ s, release ${now} serves\n {2}release ${release} is coming up\n`,
          'm',
        ),
      );
      assert.match(why, /^ {2}place 1 in the queue for a turn\n {2}last check: .*503.*starting/m);
      assert.match(
        why,
        new RegExp(
          `^b: waiting for \\d+ s, release ${now} serves\n {2}a has its turn, this host is next$`,
          'm',
        ),
      );
      const only = await shop.must('why', '-c', 'web', '--host', 'b');
      assert.doesNotMatch(only, /^a: /m);
      const over = await waiting;
      exitedWith(3, over);
      assert.match(
        over.stderr,
        new RegExp(`The time is over\\. web: release ${release} serves on 0 of 2 hosts`),
      );
      assert.match(over.stderr, /It goes on\./);
    });

    test('end with a clear message while etcd is away', async () => {
      const [serving = ''] = await Promise.all(
        shop.hosts.map((host) => getText(shop.http(host), '/version')),
      );
      await shop.etcd.kill();
      const file = join(shop.first.folder, 'shop.json');
      const asks = ['update', 'rollback', 'stop', 'rollout pause', `setconfig ${file}`];
      for (const action of [...LOOKS, 'list --watch', ...asks]) {
        const startedAt = performance.now();
        const result = await programs(action);
        const took = performance.now() - startedAt;
        exitedWith(1, result);
        const { kind, code, retryable } = lastLine(result.stdout);
        assert.deepEqual([kind, code, retryable], ['error', 'cluster-unreachable', true], action);
        assert.ok(took < ETCD_DOWN_MS, `${action} took ${took} ms`);
      }
      const told = await shop.gantryd('list');
      assert.match(told.stderr, /^Error: .*etcd/);
      await shop.etcd.start();
      await untilAnswering(shop, serving);
    });
  });

  async function isOneDocument(action: string): Promise<void> {
    const result = await programs(action);
    exitedWith(0, result);
    const [document, ...more] = jsonLines(result.stdout);
    assert.deepEqual([more, document?.project], [[], PROJECT], action);
  }

  /** `list --hosts` and the like, for programs. */
  function programs(action: string) {
    const [command = '', ...more] = action.split(' ');
    const second = command === 'rollout' ? more.splice(0, 1) : [];
    const one = ['history', 'why', 'rollout'].includes(command) ? ['-c', 'web'] : [];
    return shop.gantryd([command, ...second].join(' '), ...more, ...one, '--json');
  }
});

/** The cells of a printed table. */
function table(text: string): readonly (readonly string[])[] {
  const lines = text.trimEnd().split('\n');
  return lines.map((line) => line.trim().split(/ {2,}/));
}

function lastLine(stdout: string): Event {
  const last = jsonLines(stdout).at(-1);
  assert.ok(last);
  return last;
}
