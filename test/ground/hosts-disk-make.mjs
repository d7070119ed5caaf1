/** `node hosts-disk-make.mjs`, run once in a ground: makes the disk that hosts begin with. */
import { join } from 'node:path';
import { openFleet } from './hosts.mjs';
import { keepDisk } from './hosts-disk.mjs';

const fleet = await openFleet({ hosts: ['disk'] });
try {
  const [machine] = fleet.machines;
  await fleet.images([{ tag: 'gantryd-disk:app' }]);
  await machine.stopEngine();
  keepDisk(join(machine.folder, 'data'), await fleet.layer());
} finally {
  await fleet.close();
}
