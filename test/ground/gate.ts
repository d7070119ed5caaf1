/**
 * A gate in front of a TCP service on a machine of a fleet, so that the service can be away, silent, or break off in
 * the middle of an answer, for all who reach it by the gate, without touching the service itself.
 */
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Cleanup, freePort, tempFolder } from './harness.ts';
import { start } from './processes.ts';

const PROGRAM = fileURLToPath(new URL('./gate-process.js', import.meta.url));
const READY_MS = 20_000;

/** Each of these ends the connections that there are. */
export interface Gate {
  readonly port: number;
  /** Everything passes: so it is at first. */
  open(): Promise<void>;
  /** Connections are refused. */
  shut(): Promise<void>;
  /** Connections are taken, and nothing is answered. */
  mute(): Promise<void>;
  /** Every connection breaks once so many bytes of the answer have passed. */
  cutAfter(bytes: number): Promise<void>;
}

/** `place`: where the service is, and what starts programs there. */
export async function openGate(
  t: Cleanup,
  place: { readonly address: string; readonly prefix: readonly string[] },
  servicePort: number,
): Promise<Gate> {
  const control = join(await tempFolder(t), 'gate.sock');
  const port = await freePort();
  const words = [place.address, port, servicePort, control].map(String);
  const [file = '', ...args] = [...place.prefix, process.execPath, PROGRAM, ...words];
  await start(t, file, args).says('ready', READY_MS);
  const tell = async (line: string) => {
    const socket = createConnection(control);
    socket.write(`${line}\n`);
    const answer = await text(socket);
    if (answer !== `${line}\n`) throw new Error(`the gate answered '${answer}' to '${line}'`);
  };
  return {
    port,
    open: () => tell('open'),
    shut: () => tell('shut'),
    mute: () => tell('mute'),
    cutAfter: (bytes) => tell(`cut ${bytes}`),
  };
}
