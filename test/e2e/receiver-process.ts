/**
 * A receiver of webhooks as a process of its own, for a machine of the tests: prints each request as a line of JSON.
 * How it answers is in the path: `/flaky` fails twice for each delivery, `/gone` wants none, `/hangs` never answers.
 */
import { createServer } from 'node:http';

const [address = '127.0.0.1', port = '0'] = process.argv.slice(2);
const FAILS = 2;
const tries = new Map<string, number>();

function statusOf(path: string, delivery: string): number | undefined {
  if (path === '/hangs') return undefined;
  if (path === '/gone') return 410;
  const count = tries.get(delivery) ?? 0;
  tries.set(delivery, count + 1);
  return path === '/flaky' && count < FAILS ? 500 : 204;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const { url: path = '', headers } = request;
    console.log(JSON.stringify({ path, headers, text: Buffer.concat(chunks).toString('utf8') }));
    const status = statusOf(path, String(headers['x-gantryd-delivery']));
    if (status !== undefined) response.writeHead(status).end();
  });
});
server.listen(Number(port), address, () => console.log('listens'));
