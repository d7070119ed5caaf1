/** The way to ask over HTTPS: on node:https, with a handshake of its own each time. */
import https from 'node:https';
import { VERSION } from '../version.ts';
import { CLOSED, type Hearer, isRedirect, type Request } from './http-answer.ts';

/** A check that found a kept connection would not ask what the next client meets. */
const AGENT = new https.Agent({ keepAlive: false, maxCachedSessions: 0 });

export function askTls({ method, host, port, path, verify }: Request, hearer: Hearer): () => void {
  const headers = {
    'user-agent': `gantryd/${VERSION}`,
    ...(method === 'POST' && { 'content-length': 0 }),
  };
  const options = { method, host, port, path, headers, agent: AGENT, rejectUnauthorized: verify };
  const request = https.request(options);
  request.on('error', (error) => hearer.fail(error));
  request.once('response', (response) => {
    const { statusCode = 0, headers: fields } = response;
    hearer.head(statusCode, isRedirect(statusCode) ? fields.location : undefined);
    response.on('error', (error) => hearer.fail(error));
    response.on('data', (part: Buffer) => hearer.body(part));
    response.once('end', () => hearer.told());
  });
  request.once('upgrade', ({ statusCode = 0 }) => {
    hearer.head(statusCode);
    hearer.told();
  });
  request.once('close', () => hearer.fail(CLOSED));
  request.end();
  return () => request.destroy();
}
