import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { followedKey, type Keys, keys, lastPart, type ProjectKeys } from '../../src/cluster/keys.ts';
import { type Range, startingWith } from '../../src/cluster/store.ts';

/** Legal, and near each other and the slash in the order of bytes. */
const NAMES = [
  'a',
  'a.b-c_d',
  'a-b',
  'a_b',
  'a.b',
  'a0',
  'ab',
  'A',
  '0',
  'config',
  'links',
  'components',
  'zz',
];
const PREFIXES = ['/gantryd', '/gantryd/', '/a//', 'no-slash', '/deep/er'];

describe('The keys in etcd', () => {
  test('are below the prefix, however it is written', () => {
    assert.equal(keys().prefix, '/gantryd');
    assert.equal(keys('/x/').project('p').config, '/x/projects/p/config');
    assert.equal(keys('/x//').host('p', 'h'), '/x/hosts/h/p');
    assert.equal(keys('x').project('p').config, 'x/projects/p/config');
    for (const prefix of PREFIXES) {
      const all = keys(prefix);
      for (const key of everyKey(all, 'p', 'c', 'h')) assert.ok(key.startsWith(`${all.prefix}/`), key);
    }
  });

  test('are all different, for all names', () => {
    const made = NAMES.flatMap((project) =>
      NAMES.flatMap((component) => NAMES.flatMap((host) => everyKey(keys(), project, component, host))),
    );
    const forProject = NAMES.length * 2; // config, secrets key
    const ofOne = NAMES.length ** 2 * (9 + 7); // by component: desired, rollout, scale …; by another name: peer, run, claim …
    const ofTwo = NAMES.length ** 3 * 3; // turn, link, status
    const [hosts, tokens] = [NAMES.length ** 2, NAMES.length * 2]; // of each its own key, and the one of its audit
    assert.equal(new Set(made).size, forProject + ofOne + ofTwo + hosts + tokens);
  });

  test('that an agent follows are what is wanted, turns and links of its project, and no other', () => {
    for (const project of NAMES) {
      const range = keys().project(project).followed();
      for (const [other, component, host] of names()) {
        const of = keys().project(other);
        const follows = followedOf(of, component, host);
        for (const key of follows)
          assert.equal(within(range, key), other === project, `${key} of ${project}`);
        for (const key of everyKey(keys(), other, component, host))
          if (!follows.includes(key)) assert.equal(within(range, key), false, key);
      }
    }
  });

  test('of a component, a link or all statuses are in their ranges, and no others are', () => {
    for (const [project, component, host] of names()) {
      const of = keys().project(project);
      const ranges: readonly (readonly [Range, (key: string) => boolean])[] = [
        [of.turns('a.b'), (key) => key === of.turn('a.b', host)],
        [of.releases('a.b'), (key) => key === of.release('a.b', 12)],
        [of.outcomes('a.b'), (key) => key === of.outcome('a.b', 12)],
        [of.statuses('a.b'), (key) => key === of.status('a.b', host)],
        [of.allStatuses(), (key) => key === of.status(component, host)],
        [keys().hosts(), (key) => key === keys().host(project, host)],
      ];
      for (const key of everyKey(keys(), project, component, host))
        for (const [range, belongs] of ranges) assert.equal(within(range, key), belongs(key), key);
    }
  });

  test('that are followed are read back to what they are about', () => {
    for (const [project, component, host] of names()) {
      const of = keys('/x').project(project);
      const read = (key: string) => followedKey(keys('/x'), project, key);
      assert.deepEqual(read(of.config), { kind: 'config' });
      assert.deepEqual(read(of.desired(component)), { kind: 'desired', component });
      assert.deepEqual(read(of.rollout(component)), { kind: 'rollout', component });
      assert.deepEqual(read(of.turn(component, host)), { kind: 'turn', component, host });
      assert.deepEqual(read(of.link(component, host)), { kind: 'link', link: component, host });
    }
  });

  test('of others are nothing', () => {
    const base = '/gantryd/projects/p';
    const strange = [
      `${base}/releases/c/1`,
      `${base}/config/more`,
      `${base}/components/c`,
      `${base}/components/c/desired/more`,
      `${base}/components/c/turns`,
      `${base}/components/c/turns/h/more`,
      `${base}/components/c/other`,
      `${base}/connect/l`,
      `${base}/connect/l/h/more`,
      `${base}`,
      '/gantryd/projects/pp/config',
      '/other/projects/p/config',
      '',
    ];
    for (const key of strange) assert.equal(followedKey(keys(), 'p', key), undefined, key);
  });

  test('end with the host or number they are of', () => {
    const of = keys().project('p');
    assert.equal(lastPart(of.status('c', 'a.b-c_d')), 'a.b-c_d');
    assert.equal(lastPart(of.release('c', 17)), '17');
  });

  test('startingWith is everything that starts with it', () => {
    const range = startingWith('/a/');
    for (const key of ['/a/', '/a/b', '/a/~', '/a//']) assert.ok(within(range, key), key);
    for (const key of ['/a', '/a0', '/b/', '/A/']) assert.ok(!within(range, key), key);
  });
});

function* names(): Generator<readonly [string, string, string]> {
  for (const project of NAMES)
    for (const component of NAMES)
      for (const host of ['a', 'a.b-c_d', 'zz']) yield [project, component, host];
}

function followedOf(of: ProjectKeys, component: string, host: string): readonly string[] {
  const own = [
    of.config,
    of.desired(component),
    of.rollout(component),
    of.scale(component),
    of.shares(component),
  ];
  return [...own, of.turn(component, host), of.link(component, host)];
}

function everyKey(all: Keys, project: string, component: string, host: string): readonly string[] {
  const of = all.project(project);
  return [
    ...followedOf(of, component, host),
    of.release(component, 12),
    of.outcome(component, 12),
    of.status(component, host),
    of.peer(host),
    of.jobs.run(host),
    of.jobs.claim(host),
    of.jobs.executor(host),
    of.jobs.schedule(component),
    of.jobs.cursor(component),
    of.ended(host),
    of.event(host),
    of.asked(host),
    of.secret(component),
    of.secretsKey,
    all.token(host),
    all.askedOfToken(host),
    all.host(project, host),
  ];
}

function within({ from, to }: Range, key: string): boolean {
  return key >= from && key < to;
}
