/**
 * Several hosts on one machine, as root: each has a network namespace with one address on a common backbone
 * (hosts-backbone.mjs), a hostname, and a Docker engine in process and mount namespaces of its own, so that a
 * host can lose its power at once and be started again. A place is a host without an engine, for etcd or a
 * registry. Plain JavaScript and Node alone: it runs before anything is built. For tests there is hosts.ts.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openBackbone } from './hosts-backbone.mjs';
import { ImageMaker } from './hosts-images.mjs';
import { Machine } from './hosts-machine.mjs';
import { GROUND_VARIABLE, openFolder, removeGround } from './leftovers.mjs';

/**
 * Answers when every engine does. All that is made is in a ground of its own, which `close()` removes; when this
 * process was killed, whoever opens the next ground does. `address`: of this process on the backbone.
 */
export async function openFleet({ hosts = [], places = [] }) {
  const folder = openFolder();
  const machines = [];
  let backbone;
  try {
    backbone = await openBackbone(folder);
    for (const name of [...hosts, ...places])
      machines.push(machineOf(folder, backbone, name, machines.length + 1, hosts.includes(name)));
    await allOf(machines.map((machine) => machine.start()));
    return fleetOf(folder, backbone, machines);
  } catch (error) {
    await takeDown(folder, backbone, machines);
    throw error;
  }
}

function machineOf(ground, backbone, name, number, engine) {
  const folder = join(ground, name);
  mkdirSync(folder);
  return new Machine({ name, ground, folder, backbone, number, engine });
}

function fleetOf(folder, backbone, machines) {
  const maker = new ImageMaker(folder);
  let closing;
  return {
    folder,
    address: backbone.address,
    subnet: backbone.subnet,
    env: { [GROUND_VARIABLE]: folder },
    machines,
    /** Answers their ids. `on`: names of hosts; without it all that are up. */
    images: (images, on) => maker.make(images, hostsIn(machines, on)),
    /** The digest of the only layer of these images. */
    layer: () => maker.digest(),
    close() {
      closing ??= takeDown(folder, backbone, machines);
      return closing;
    },
  };
}

function hostsIn(machines, names) {
  const hosts = machines.filter(({ docker, up }) => docker !== undefined && up);
  return names === undefined ? hosts : hosts.filter(({ name }) => names.includes(name));
}

async function takeDown(folder, backbone, machines) {
  try {
    await allOf(machines.map((machine) => machine.kill()));
    await backbone?.close();
  } finally {
    await removeGround(folder);
  }
}

/** Waits for all, also when one fails: none may go on beside what is done about it. */
async function allOf(promises) {
  const failed = (await Promise.allSettled(promises)).find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
