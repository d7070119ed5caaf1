/**
 * The disk of a host's engine with the layer of the example application on it: made once for a run of tests
 * (hosts-disk-make.mjs) and copied for each host, its layers as links, since engines never write to them. Loading that
 * layer takes an engine a second of a processor. Where none was made, hosts begin with an empty disk.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GROUND_VARIABLE } from './leftovers.mjs';

const DISK = 'disk';
const LAYER = 'layer';
/** The layers, and what is known of them and of images. All else an engine makes anew. */
const COPIED = { overlay2: ['-a', '--link'], image: ['-a'] };

/** From the data folder of an engine that has ended. `layer`: digest of the example application's. */
export function keepDisk(data, layer) {
  const disk = diskOfGround();
  mkdirSync(disk);
  for (const name of Object.keys(COPIED)) renameSync(join(data, name), join(disk, name));
  writeFileSync(join(disk, LAYER), layer); // last: it says that the disk is whole
}

/** Into the data folder of an engine that has not begun. */
export function layDisk(data) {
  if (keptLayer() === undefined) return;
  for (const [name, how] of Object.entries(COPIED))
    execFileSync('cp', [...how, join(diskOfGround(), name), join(data, name)]);
}

/** The digest of the layer that is on the disk; undefined: there is none. */
export function keptLayer() {
  const file = join(diskOfGround(), LAYER);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function diskOfGround() {
  return join(process.env[GROUND_VARIABLE] ?? '', DISK);
}
