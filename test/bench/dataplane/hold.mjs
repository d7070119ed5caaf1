/**
 * Opens many connections, asks once on each, says `open` and keeps them; to a line on its input it says how many are
 * left. `node hold.mjs HOST PORT CONNECTIONS`.
 */
import { connect } from 'node:net';

const AT_A_TIME = 100;
const ANSWER_MS = 20_000;
const ASKED = 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n';
const [host, port, connections] = process.argv.slice(2);
let left = 0;
let begun = 0;

await Promise.all(Array.from({ length: AT_A_TIME }, openOn));
console.log('open');
process.stdin.on('data', () => console.log(`left ${left}`));

async function openOn() {
  while (begun++ < Number(connections)) await open();
}

function open() {
  return new Promise((resolve) => {
    const socket = connect(Number(port), host, () => socket.write(ASKED));
    const late = setTimeout(() => fail(new Error('a connection was not answered in time')), ANSWER_MS);
    let answered = false;
    socket.on('error', (error) => answered || fail(error));
    socket.once('data', () => {
      answered = true;
      clearTimeout(late);
      left += 1;
      socket.resume();
      socket.once('close', () => {
        left -= 1;
      });
      resolve();
    });
  });
}

function fail({ message }) {
  console.error(message);
  process.exit(1);
}
