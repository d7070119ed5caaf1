import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { GantryError, isGantryError } from '../../src/errors.ts';
import { findOwner, ownerOf } from '../../src/secrets/owner.ts';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/app:/bin/sh\nbad:x:what:0::/:\n';
const GROUP = 'root:x:0:\nstaff:x:50:app\n';

describe('the owner of a secret', () => {
  const cases: readonly (readonly [string | undefined, number, number])[] = [
    [undefined, 0, 0],
    ['', 0, 0],
    ['0', 0, 0],
    ['root', 0, 0],
    ['1000', 1000, 0],
    ['1000:50', 1000, 50],
    ['1000:staff', 1000, 50],
    ['app', 1000, 1001],
    ['app:', 1000, 1001],
    ['app:staff', 1000, 50],
    ['app:7', 1000, 7],
  ];
  for (const [user, uid, gid] of cases) {
    test(`of a container that runs as ${JSON.stringify(user)} is ${uid}:${gid}`, () => {
      assert.deepEqual(ownerOf(user, PASSWD, GROUP), { uid, gid });
    });
  }

  test('is not guessed: a name that the image does not have is refused', () => {
    const unfit = (words: RegExp) => (error: unknown) =>
      isGantryError(error, 'host-unfit') && words.test(error.message) && /by number/.test(error.hint ?? '');
    assert.throws(
      () => ownerOf('ghost', PASSWD),
      unfit(/user ghost: \/etc\/passwd of the image does not have it/),
    );
    assert.throws(() => ownerOf('bad', PASSWD), unfit(/user bad/));
    assert.throws(() => ownerOf('app', undefined), unfit(/user app: the image has no \/etc\/passwd/));
    assert.throws(() => ownerOf('app:ghosts', PASSWD, GROUP), unfit(/group ghosts/));
  });

  test('is read from the container only where it has a name', async () => {
    const read: string[] = [];
    const readFile = async (path: string) => {
      read.push(path);
      if (path === '/etc/group') throw new GantryError('file-missing', 'no such file');
      return Readable.from([Buffer.from(PASSWD)]);
    };
    assert.deepEqual(await findOwner('1000:50', readFile), { uid: 1000, gid: 50 });
    assert.deepEqual(read, []);
    assert.deepEqual(await findOwner('app:50', readFile), { uid: 1000, gid: 50 });
    assert.deepEqual(read, ['/etc/passwd']);
    await assert.rejects(findOwner('1000:staff', readFile), /the image has no \/etc\/group/);
  });

  test('is not sought in a file without end', async () => {
    const endless = async () => Readable.from([Buffer.alloc(600_000), Buffer.alloc(600_000)]);
    await assert.rejects(findOwner('app', endless), (error) => isGantryError(error, 'host-unfit'));
  });
});
