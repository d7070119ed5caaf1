/** Bodies and problems of the control socket's HTTP. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { GantryError, messageOf } from '../../errors.ts';
import type { ProxyProblem } from './protocol.ts';

const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** Throws GantryError proxy-failed when the body is too long or no JSON. */
export async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new GantryError('proxy-failed', `a control call may have ${MAX_BODY_BYTES} bytes at most`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new GantryError('proxy-failed', `the body is not JSON: ${messageOf(cause)}`, { cause });
  }
}

export function json(res: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}

export function problem(error: GantryError): ProxyProblem {
  const { code, message, hint, retryable } = error;
  return { code, message, retryable, ...(hint === undefined ? {} : { hint }) };
}

export function statusOf({ code }: GantryError): number {
  if (
    code === 'route-conflict' ||
    code === 'port-taken' ||
    code === 'plane-unavailable' ||
    code === 'proxy-failed'
  )
    return 409;
  return 500;
}
