/**
 * The engine's HTTP API, raw: what the tests need beside the Engine under test, as making a container
 * that is not ours, or looking at what the engine made of a spec.
 */
import { request } from 'node:http';
import { engineAddress } from '../../src/docker/address.ts';

export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
}

const TIMEOUT_MS = 60_000;

export class EngineApi {
  readonly #address: string | undefined;

  constructor(address: string | undefined) {
    this.#address = address;
  }

  /** A Buffer is sent as a tar, anything else as JSON. */
  send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<ApiAnswer> {
    const payload = Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body);
    const type = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    const at = engineAddress(this.#address);
    const place = at.kind === 'socket' ? { socketPath: at.path } : { host: at.host, port: at.port };
    const options = { ...place, method, path, agent: false, timeout: TIMEOUT_MS };
    return new Promise((resolve, reject) => {
      const sent = request({ ...options, headers: { 'content-type': type, ...headers } }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('error', reject).on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer`)));
      sent.on('error', reject).end(payload);
    });
  }

  /** The JSON of an answer below 300; fails on any other. */
  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.send(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text === '' ? 'null' : text);
  }
}
