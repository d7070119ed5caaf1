/** What a host does about a rollout, as a specification: what etcd says, how the host stands, and its step in words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mayAdvance } from '../../src/fleet/rollout.ts';
import {
  expectStep,
  fresh,
  memoryOf,
  NOW,
  prepared,
  type Queued,
  queueOf,
  releaseOf,
  said,
  serving1,
  settled2,
  starting2,
  stopped,
  switched2,
} from './rollout-builders.ts';

describe('a host that etcd tells nothing', () => {
  test('waits for the first answer', () => {
    const wanted = said({ current: false, desired: undefined, rollout: undefined });
    expectStep(wanted, fresh(), 'wait for etcd: etcd has not answered yet');
  });

  test('says why etcd is away, and changes nothing', () => {
    const wanted = said({ current: false, trouble: 'no member answers' });
    expectStep(wanted, serving1(), 'wait for etcd: no member answers');
    expectStep(wanted, switched2(), 'wait for etcd: no member answers');
  });

  test('waits for an intent while there is none', () => {
    const wanted = said({ desired: undefined, rollout: undefined });
    expectStep(wanted, fresh(), 'wait for intent: nothing was asked of it yet');
  });

  test('takes an intent that is gone, or that nobody can read, for none', () => {
    const wanted = said({ desired: undefined, turns: queueOf('a') });
    expectStep(wanted, serving1(), 'wait for intent: nothing was asked of it yet');
    expectStep(wanted, starting2(), 'wait for intent: nothing was asked of it yet');
    expectStep(wanted, settled2(), 'wait for intent: nothing was asked of it yet');
  });

  test('follows nothing older than what it has followed: etcd was restored', () => {
    const wanted = said({ desired: { generation: 3, release: 1 }, rollout: { generation: 3, release: 1 } });
    const words =
      'wait for intent: etcd asks for what this host has left behind (change 3, followed 4): was it restored? The next update, rollback or stop is followed';
    expectStep(wanted, serving1(), words);
    expectStep(said({ desired: { generation: 3, status: 'stopped' } }), serving1(), words);
  });

  test('stands in nobody’s way then', () => {
    const older = { desired: { generation: 3 }, rollout: { generation: 3 } } as const;
    const wanted = said({ ...older, turns: queueOf({ generation: 3 }, 'b') });
    expectStep(wanted, serving1(), 'unqueue: others may need the turn');
    expectStep(
      said({ ...older, turns: queueOf('a', 'b') }),
      switched2(),
      'unqueue: others may need the turn',
    );
  });
});

describe('a host that prepares', () => {
  const preparing = said({ rollout: { state: 'preparing' } });

  test('asks for the release first', () => {
    const wanted = said({ release: undefined });
    expectStep(wanted, serving1(), 'learn release 2: ann@desk asked for it');
  });

  test('begins to, whatever it was prepared for before', () => {
    expectStep(preparing, serving1({ preparation: undefined }), 'prepare: it is wanted here');
    const older = prepared({ generation: 4 });
    expectStep(preparing, serving1({ preparation: older }), 'prepare: it is wanted here');
  });

  test('waits for its image', () => {
    const preparation = prepared({ state: 'working', why: 'fetching app:2' });
    expectStep(preparing, serving1({ preparation }), 'wait for image: fetching app:2');
  });

  test('tries again when it is time to', () => {
    const why = 'the registry does not answer';
    const later = prepared({ state: 'retrying', why, retryAt: NOW + 700 });
    expectStep(preparing, serving1({ preparation: later }), `wait for image: ${why} for 700 ms`);
    const now = prepared({ state: 'retrying', why, retryAt: NOW });
    expectStep(preparing, serving1({ preparation: now }), 'prepare: another try');
  });

  test('ends the rollout when it never can be', () => {
    const preparation = prepared({ state: 'refused', why: 'no registry has app:2', retryAt: NOW + 700 });
    expectStep(preparing, serving1({ preparation }), 'fail: no registry has app:2');
    expectStep(said(), serving1({ preparation }), 'fail: no registry has app:2');
  });

  test('prepares anew for another attempt', () => {
    const again = said({ rollout: { state: 'preparing', attempt: 2 } });
    const preparation = prepared({ state: 'refused', why: 'no registry has app:2' });
    expectStep(again, serving1({ preparation }), 'prepare: it is wanted here');
  });

  test('waits for a lease, under which it queues', () => {
    expectStep(preparing, serving1({ lease: undefined }), 'wait for etcd: this host has no lease yet');
  });

  test('queues', () => {
    expectStep(preparing, serving1(), 'queue: prepared for release 2');
    const others = said({ rollout: { state: 'preparing' }, turns: queueOf('b', 'c') });
    expectStep(others, serving1(), 'queue: prepared for release 2');
  });

  test('queues again with a key of another change, another attempt or an older lease', () => {
    const words = 'queue: prepared for release 2';
    expectStep(said({ turns: queueOf({ generation: 4 }) }), serving1(), words);
    expectStep(said({ rollout: { attempt: 2 }, turns: queueOf('a') }), again(), words);
    expectStep(said({ turns: queueOf({ lease: 'lease-before' }) }), serving1(), words);
  });

  const again = () => serving1({ preparation: prepared({ attempt: 2 }) });
});

describe('the barrier', () => {
  const preparing = (...turns: Queued[]) =>
    said({ rollout: { state: 'preparing' }, turns: queueOf(...turns) });

  test('is opened by whoever is first in the queue', () => {
    expectStep(preparing('a', 'b', 'c'), serving1(), 'open: 3 prepared');
  });

  test('is waited for by the others', () => {
    const words = 'wait for fleet: 2 hosts are prepared, others are not yet';
    expectStep(preparing('b', 'a'), serving1(), words);
  });

  test('does not count who is prepared for something else', () => {
    const stale = { host: 'b', generation: 4 };
    expectStep(preparing(stale, 'a', 'c'), serving1(), 'open: 2 prepared');
  });

  test('holds an empty host too', () => {
    const words = 'wait for fleet: 2 hosts are prepared, others are not yet';
    expectStep(preparing('b', 'a'), fresh({ preparation: prepared() }), words);
  });

  test('stays closed until the exporters of its links are done', () => {
    const wanted = said({ rollout: { state: 'preparing' }, turns: queueOf('a'), behind: ['db', 'cache'] });
    expectStep(wanted, serving1(), 'wait for links: db, cache is updated first');
  });

  test('is the end when an exporter could not be updated', () => {
    const wanted = said({ rollout: { state: 'preparing' }, turns: queueOf('a'), broken: ['db'] });
    expectStep(wanted, serving1(), 'fail: db, which it needs, could not be updated');
  });
});

describe('a turn', () => {
  test('comes to the first in the queue', () => {
    expectStep(said({ turns: queueOf('a', 'b', 'c') }), serving1(), 'adopt: it is its turn');
  });

  test('is waited for', () => {
    const turn = (...turns: Queued[]) => said({ turns: queueOf(...turns) });
    expectStep(turn('b', 'a'), serving1(), 'wait for turn: b has its turn, this host is next');
    expectStep(turn('b', 'c', 'a'), serving1(), 'wait for turn: b has its turn, then c');
    const many = turn('b', 'c', 'd', 'e', 'f', 'a');
    expectStep(many, serving1(), 'wait for turn: b has its turn, then c, d, e and 1 more');
  });

  test('comes to as many at once as the release says', () => {
    const two = { release: releaseOf(2, { maxParallel: 2 }) };
    expectStep(said({ ...two, turns: queueOf('b', 'a', 'c') }), serving1(), 'adopt: it is its turn');
    const words = 'wait for turn: b, c have their turn, this host is next';
    expectStep(said({ ...two, turns: queueOf('b', 'c', 'a') }), serving1(), words);
  });

  test('need not be waited for by a host on which nothing serves', () => {
    const wanted = said({ turns: queueOf('b', 'c', 'a') });
    const words = 'adopt: nothing serves here yet';
    expectStep(wanted, fresh({ preparation: prepared() }), words);
    expectStep(wanted, stopped(), words);
    expectStep(wanted, serving1({ serves: false, arrived: false }), words);
  });

  test('does not begin while the rollout is paused', () => {
    const paused = (reason?: string) =>
      said({ rollout: { state: 'paused', ...(reason && { reason }) }, turns: queueOf('a') });
    expectStep(paused(), serving1(), 'wait for fleet: the rollout is paused: by an operator');
    expectStep(paused('ann paused it'), serving1(), 'wait for fleet: the rollout is paused: ann paused it');
    const empty = fresh({ preparation: prepared() });
    expectStep(paused('ann paused it'), empty, 'wait for fleet: the rollout is paused: ann paused it');
  });

  test('that has begun goes on while the rollout is paused', () => {
    const paused = said({ rollout: { state: 'paused' }, turns: queueOf('a', 'b') });
    expectStep(paused, starting2(), 'wait for ready: release 2 is coming up');
    expectStep(paused, switched2(), 'wait for monitor: release 2 serves and is watched for 9000 ms');
  });

  test('lasts until the release serves', () => {
    const wanted = said({ turns: queueOf('a', 'b') });
    expectStep(wanted, starting2(), 'wait for ready: release 2 is coming up');
    expectStep(wanted, switched2({ arrived: false }), 'wait for ready: release 2 is coming up');
  });

  test('lasts while the release is watched', () => {
    const wanted = said({ turns: queueOf('a', 'b') });
    const words = 'wait for monitor: release 2 serves and is watched for 9000 ms';
    expectStep(wanted, switched2(), words);
    const at = (provenAt: number) => switched2({ memory: memoryOf({ generation: 5, provenAt }) });
    const watched = 'wait for monitor: release 2 serves and is watched for 1 ms';
    expectStep(wanted, at(NOW - 9_999), watched);
    expectStep(wanted, at(NOW - 10_000), 'settle: release 2 served well for 10000 ms');
  });

  test('is watched from now on where nobody remembers since when', () => {
    const forgot = switched2({ memory: memoryOf({ generation: 5 }) });
    expectStep(said({ turns: queueOf('a') }), forgot, 'watch-again: nobody remembers since when it serves');
  });

  test('ends at once where nothing is to be watched', () => {
    const wanted = said({ turns: queueOf('a'), release: releaseOf(2, { monitorMs: 0 }) });
    expectStep(wanted, switched2(), 'settle: release 2 served well for 0 ms');
  });

  test('is given back, and the last one closes the rollout', () => {
    expectStep(said({ turns: queueOf('a', 'b') }), settled2(), 'unqueue: its turn is over');
    expectStep(said({ turns: queueOf('b') }), settled2(), 'wait for intent');
    expectStep(said(), settled2(), 'complete: no host waits for its turn');
    expectStep(said({ rollout: { state: 'done' } }), settled2(), 'wait for intent');
    expectStep(said({ rollout: { state: 'paused' } }), settled2(), 'wait for intent');
  });

  test('is had by others again where etcd was restored to before there were turns', () => {
    const restored = said({ rollout: { state: 'preparing' }, turns: queueOf('b') });
    expectStep(restored, settled2(), 'open: it was under way before: etcd was restored');
    const behind = { ...restored, behind: ['db'] };
    expectStep(behind, settled2(), 'wait for links: db is updated first');
  });
});

describe('a turn that is lost', () => {
  test('takes the release back at once', () => {
    const lost = starting2({ lease: undefined });
    expectStep(said({ turns: queueOf('a') }), lost, 'take-back: the lease of its turn is lost');
  });

  test('takes it back while etcd is away', () => {
    const away = said({ current: false, trouble: 'no member answers', turns: queueOf('a') });
    const lost = starting2({ lease: undefined });
    expectStep(away, lost, 'take-back: the lease of its turn is lost');
    expectStep(away, starting2(), 'wait for etcd: no member answers');
  });

  test('takes it back when the key is gone', () => {
    expectStep(said({ turns: queueOf('b') }), starting2(), 'take-back: its turn is over');
    expectStep(said({ desired: undefined }), starting2(), 'take-back: its turn is over');
  });

  test('takes it back when etcd was restored, and the key is one of before', () => {
    const older = { desired: { generation: 3 }, rollout: { generation: 3 } } as const;
    const wanted = said({ ...older, turns: queueOf({ generation: 3 }) });
    expectStep(wanted, starting2(), 'take-back: its turn is over');
  });

  test('is claimed again by a new start, under its new lease and at its old place', () => {
    const wanted = said({ turns: queueOf({ lease: 'lease-before' }, 'b') });
    expectStep(wanted, starting2(), 'queue: the turn goes on after a new start');
  });

  test('takes nothing back that has served, or that follows nothing', () => {
    const wanted = said({ current: false, turns: [] });
    const words = 'wait for etcd: etcd has not answered yet';
    expectStep(wanted, switched2({ lease: undefined }), words);
    expectStep(wanted, settled2({ lease: undefined }), words);
    expectStep(wanted, starting2({ lease: undefined, returns: false }), words);
    expectStep(wanted, starting2({ lease: undefined, status: 'stopped' }), words);
    expectStep(wanted, starting2({ lease: undefined, memory: undefined }), words);
  });

  test('is what a newer intent means for it', () => {
    const newer = said({ desired: { generation: 6, release: 3 }, turns: queueOf('a') });
    expectStep(newer, starting2(), 'take-back: something newer is wanted');
    const stop = said({ desired: { generation: 6, status: 'stopped' }, turns: queueOf('a') });
    expectStep(stop, starting2(), 'take-back: something newer is wanted');
  });
});

describe('whether a release may be brought further', () => {
  const here = { host: 'a', lease: 'lease-a', returns: true, generation: 5 };

  test('it may under a turn of the lease that is held now', () => {
    assert.equal(mayAdvance(said({ turns: queueOf('b', 'a') }), here), true);
    assert.equal(mayAdvance(said({ turns: queueOf({ lease: 'lease-before' }) }), here), false);
    assert.equal(mayAdvance(said({ turns: queueOf('b') }), here), false);
    assert.equal(mayAdvance(said(), here), false);
  });

  test('a turn of another change is none', () => {
    assert.equal(mayAdvance(said({ turns: queueOf({ generation: 4 }) }), here), false);
    const unknown = { ...here, generation: undefined };
    assert.equal(mayAdvance(said({ turns: queueOf('a') }), unknown), false);
    assert.equal(mayAdvance(said(), unknown), false);
  });

  test('without a lease it may not, whatever etcd was heard to say', () => {
    assert.equal(mayAdvance(said({ turns: queueOf('a') }), { ...here, lease: undefined }), false);
  });

  test('it may while etcd is away, for as long as the lease holds', () => {
    assert.equal(mayAdvance(said({ current: false, turns: queueOf('a') }), here), true);
  });

  test('it may always where nothing served before', () => {
    assert.equal(mayAdvance(said(), { ...here, lease: undefined, returns: false }), true);
  });
});

describe('a failure', () => {
  const failed = { generation: 5, attempt: 1, why: 'container x exited' };

  test('before the switch is told, once the host has gone back by itself', () => {
    const back = serving1({ memory: memoryOf({ generation: 5, failed }) });
    expectStep(said({ turns: queueOf('a') }), back, 'fail: container x exited');
  });

  test('is told also while an operator has paused the rollout', () => {
    const back = serving1({ memory: memoryOf({ generation: 5, failed }) });
    expectStep(said({ rollout: { state: 'paused' }, turns: queueOf('a') }), back, 'fail: container x exited');
  });

  test('while it is watched is told', () => {
    const bad = switched2({ failing: 'container x became unhealthy', arrived: false });
    expectStep(said({ turns: queueOf('a') }), bad, 'fail: container x became unhealthy');
  });

  test('after it has settled is the host’s own business', () => {
    const bad = settled2({ failing: 'container x became unhealthy', arrived: false });
    expectStep(said({ turns: queueOf('b') }), bad, 'wait for intent');
  });

  test('is also that somebody changed the host by hand', () => {
    const other = starting2({ release: 1, reason: 'ann took it back' });
    expectStep(said({ turns: queueOf('a') }), other, 'fail: ann took it back');
    expectStep(said({ turns: queueOf('a') }), starting2({ release: 1 }), 'fail: it was given up');
  });

  describe('that paused the rollout', () => {
    const failure = { host: 'a', release: 2, why: failed.why, logs: [], at: '' };
    const paused = said({ rollout: { state: 'paused', failure }, turns: queueOf('a', 'b') });
    const resumed = said({ rollout: { attempt: 2 }, turns: queueOf('a', 'b') });
    const back = serving1({ memory: memoryOf({ generation: 5, failed }) });

    test('is told once', () => {
      expectStep(paused, back, 'wait for fleet: it failed here: container x exited');
    });

    test('is tried again when the rollout is resumed', () => {
      expectStep(resumed, back, 'prepare: it is wanted here');
      const ready = { ...back, preparation: prepared({ attempt: 2 }) };
      expectStep(resumed, ready, 'queue: prepared for release 2');
      const queued = said({ rollout: { attempt: 2 }, turns: queueOf({ attempt: 2 }, 'b') });
      expectStep(queued, ready, 'adopt: it is its turn');
    });

    test('while it was watched is watched again when the rollout is resumed, whatever it failed of then', () => {
      const memory = memoryOf({ generation: 5, failed, provenAt: NOW - 60_000 });
      const stays = switched2({ memory, failing: 'container x exited' });
      expectStep(paused, stays, 'wait for fleet: it failed here: container x exited');
      expectStep(resumed, stays, 'watch-again: the rollout was resumed');
    });
  });
});

describe('the way back', () => {
  const back = {
    desired: { generation: 6, release: 1 },
    rollout: { generation: 6, release: 1, from: 2, kind: 'rollback' },
    release: releaseOf(1),
  } as const;
  const ready = prepared({ generation: 6 });
  const returned = memoryOf({ generation: 6, settled: 5 });

  test('needs no turn', () => {
    expectStep(said(back), settled2({ preparation: ready }), 'adopt as proven: a rollback');
    const others = said({ ...back, turns: queueOf('b', 'c') });
    expectStep(others, switched2({ preparation: ready }), 'adopt as proven: a rollback');
  });

  test('begins with giving up what waits, or has not served', () => {
    expectStep(said({ ...back, turns: queueOf('a') }), serving1(), 'unqueue: it needs no turn');
    expectStep(said({ ...back, turns: queueOf('a') }), starting2(), 'take-back: something newer is wanted');
  });

  test('needs the image, and waits for it as long as it takes', () => {
    expectStep(said(back), switched2(), 'prepare: it is wanted here');
    const why = 'no registry has app:1';
    const refused = prepared({ generation: 6, state: 'refused', why, retryAt: NOW + 700 });
    expectStep(said(back), switched2({ preparation: refused }), `wait for image: ${why} for 700 ms`);
  });

  test('is over when the release serves', () => {
    const on = (over: object) => serving1({ memory: returned, preparation: ready, ...over });
    expectStep(said(back), on({ arrived: false }), 'wait for ready: release 1 is coming up');
    expectStep(said(back), on({ arrived: false, failing: 'x exited' }), 'wait for ready: x exited');
    expectStep(said(back), on({}), 'settle: release 1 serves');
    const done = serving1({ memory: memoryOf({ generation: 6, settled: 6 }) });
    expectStep(said(back), done, 'complete: no host waits for its turn');
  });

  test('makes a release count as one that served, as it did elsewhere', () => {
    const unproven = starting2({ memory: returned, release: 1, returns: false });
    expectStep(said(back), unproven, 'adopt as proven: it is settled elsewhere');
  });
});

describe('a host that comes late', () => {
  const done = said({ rollout: { state: 'done' } });

  test('goes straight to a release that serves everywhere', () => {
    expectStep(done, fresh(), 'prepare: it is wanted here');
    expectStep(done, fresh({ preparation: prepared() }), 'adopt as proven: the fleet has it');
    expectStep(done, serving1(), 'adopt as proven: the fleet has it');
  });

  test('settles when it serves', () => {
    expectStep(done, switched2(), 'settle: release 2 serves');
    expectStep(done, switched2({ arrived: false }), 'wait for ready: release 2 is coming up');
  });

  test('tries for as long as it takes to get the image', () => {
    const preparation = prepared({ state: 'refused', why: 'no registry has app:2', retryAt: NOW + 50 });
    expectStep(done, fresh({ preparation }), 'wait for image: no registry has app:2 for 50 ms');
  });
});

describe('a rollout that is gone, or that nobody can read', () => {
  const words =
    'wait for fleet: etcd has no rollout of release 2: was it removed? What serves serves on; run update or rollback';

  test('sends nobody who serves to a release that may have served nowhere', () => {
    expectStep(said({ rollout: undefined }), serving1(), words);
    expectStep(said({ rollout: { generation: 4 } }), serving1(), words);
    expectStep(said({ rollout: { state: 'failed' } }), serving1(), words);
    expectStep(said({ rollout: { state: 'superseded' } }), serving1(), words);
  });

  test('keeps no host from the release on which nothing serves', () => {
    const gone = said({ rollout: undefined });
    expectStep(gone, fresh(), 'prepare: it is wanted here');
    expectStep(gone, fresh({ preparation: prepared() }), 'adopt as proven: nothing serves here yet');
    // What it is prepared for is told by the intent alone.
    const other = said({ rollout: { generation: 4, attempt: 3 } });
    expectStep(other, fresh({ preparation: prepared() }), 'adopt as proven: nothing serves here yet');
  });

  test('makes nothing of a host’s turn, nor of its release', () => {
    const gone = said({ rollout: undefined, turns: queueOf('a') });
    expectStep(gone, starting2(), 'wait for ready: release 2 is coming up');
    expectStep(said({ rollout: undefined }), starting2(), 'take-back: its turn is over');
    expectStep(gone, switched2(), 'settle: release 2 serves');
    expectStep(gone, settled2(), 'unqueue: its turn is over');
    expectStep(said({ rollout: undefined }), settled2(), 'wait for intent');
  });
});

describe('stop and kill', () => {
  const stop = (over: object = {}) =>
    said({ desired: { status: 'stopped' }, rollout: { state: 'superseded' }, ...over });

  test('are followed at once, by whoever serves or is to', () => {
    expectStep(stop(), serving1(), 'be stopped: ann@desk asked for it');
    expectStep(said({ desired: { status: 'killed' } }), serving1(), 'be killed: ann@desk asked for it');
    expectStep(stop(), fresh(), 'be stopped: ann@desk asked for it');
    const newer = stop({ desired: { status: 'stopped', generation: 6 } });
    expectStep(newer, switched2(), 'be stopped: ann@desk asked for it');
  });

  test('need neither the release nor a rollout', () => {
    expectStep(
      stop({ rollout: undefined, release: undefined }),
      serving1(),
      'be stopped: ann@desk asked for it',
    );
  });

  const leaving = (over: object) => stopped({ memory: memoryOf({ generation: 5 }), ...over });

  test('give up the place in the queue', () => {
    expectStep(stop({ turns: queueOf('a') }), leaving({}), 'unqueue: nothing is to be rolled out');
  });

  test('are followed also where somebody started the component by hand on the way', () => {
    const other = serving1({ memory: memoryOf({ generation: 5 }) });
    expectStep(stop(), other, 'be stopped: ann@desk asked for it');
    const later = serving1({ memory: memoryOf({ generation: 5, settled: 5 }) });
    expectStep(stop(), later, 'wait for intent');
  });

  test('take as long as the containers do', () => {
    const words = 'wait for drain: its containers are on their way out';
    expectStep(stop(), leaving({ arrived: false }), words);
    expectStep(stop(), leaving({}), 'settle: nothing of it is left here');
    expectStep(stop(), stopped({ memory: memoryOf({ generation: 5, settled: 5 }) }), 'wait for intent');
  });
});
