/** A receiver of webhooks as a process of its own, for a machine of the tests: prints each request as a line of JSON. */
import { createServer } from 'node:http';

const [address = '127.0.0.1', port = '0'] = process.argv.slice(2);

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8');
    console.log(JSON.stringify({ headers: request.headers, text }));
    response.writeHead(204).end();
  });
});
server.listen(Number(port), address, () => console.log('listens'));
