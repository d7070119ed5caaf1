/** Runs wrk and reads what it prints. A run with a socket error or an answer other than 2xx is no measurement. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const GRACE_MS = 30_000;
const UNITS_US = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 };
const UNITS_BYTES = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 };

/** Answers `{requests, perSecond, bytesPerSecond, p50us, p99us}`; throws when anything failed. */
export async function wrk({ url, connections, seconds, close = false, pin = [] }) {
  const header = close ? ['-H', 'Connection: close'] : [];
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '--latency', ...header, url];
  const [command, ...rest] = [...pin, 'wrk', ...args];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1000 + GRACE_MS,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`wrk ended with ${code ?? child.signalCode} on ${url}:\n${text}`);
  return parse(text, url);
}

function parse(text, url) {
  const failed = text.match(/Socket errors:.*|Non-2xx.*/g);
  if (failed !== null) throw new Error(`wrk met failures on ${url}: ${failed.join('; ')}`);
  const [, requests, seconds] = text.match(/(\d+) requests in ([\d.]+)s/) ?? [];
  const perSecond = text.match(/Requests\/sec:\s+([\d.]+)/)?.[1];
  if (Number(requests) > 0 && perSecond !== undefined)
    return {
      requests: Number(requests),
      seconds: Number(seconds),
      perSecond: Number(perSecond),
      bytesPerSecond: bytes(text.match(/Transfer\/sec:\s+(\S+)/)?.[1]),
      p50us: microseconds(text.match(/^\s*50%\s+(\S+)/m)?.[1]),
      p99us: microseconds(text.match(/^\s*99%\s+(\S+)/m)?.[1]),
    };
  throw new Error(`wrk measured nothing on ${url}:\n${text}`);
}

function microseconds(text) {
  const [, value, unit] = text.match(/^([\d.]+)(us|ms|s|m)$/);
  return Number(value) * UNITS_US[unit];
}

function bytes(text) {
  const [, value, unit] = text.match(/^([\d.]+)([KMG]?B)$/);
  return Number(value) * UNITS_BYTES[unit];
}
