/** Makes a mistake show that would only seldom: memory of a read that is referred to after somebody else may read into it. */
import type { TestContext } from 'node:test';
import { Memory, SHARED } from '../../src/proxy/tcp/read-memory.ts';

const RUBBISH = '\0spoiled\0';

/** Until the end of the test, memory that reads go to holds rubbish as soon as nobody may refer to it any more. */
export function spoilReadMemory(t: TestContext): void {
  const spoil = () => void SHARED.fill(RUBBISH);
  let next = setImmediate(function again() {
    spoil();
    next = setImmediate(again);
  });
  t.after(() => clearImmediate(next));
  const { giveBack } = Memory.prototype;
  t.mock.method(Memory.prototype, 'giveBack', function spoiled(this: Memory) {
    this.bytes.fill(RUBBISH);
    giveBack.call(this);
  });
}
