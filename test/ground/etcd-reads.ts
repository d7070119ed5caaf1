/**
 * Reads by etcd's HTTP gateway, from this process: tests look many times a second, and a command for each look takes
 * more of the machine than what is looked at. Neither TLS nor users: who has those asks etcdctl.
 */
import { request } from 'node:http';

const READ_TIMEOUT_MS = 5_000;

export type Order = 'key' | 'made';

interface Range {
  readonly kvs?: readonly { readonly value?: string }[];
}

/** The values below `prefix`, as they are now, from the first endpoint that answers. Throws when none does. */
export async function readBelow(
  endpoints: readonly string[],
  prefix: string,
  order: Order,
): Promise<readonly string[]> {
  const body = JSON.stringify({
    key: base64(prefix),
    range_end: base64(endOf(prefix)),
    ...(order === 'made' ? { sort_target: 'CREATE', sort_order: 'ASCEND' } : {}),
  });
  const errors: unknown[] = [];
  for (const endpoint of endpoints)
    try {
      return valuesOf(await ask('POST', `${endpoint}/v3/kv/range`, body));
    } catch (error) {
      errors.push(error);
    }
  throw new AggregateError(errors, `no etcd answers: ${errors.join('; ')}`);
}

/** Whether its cluster answers by this endpoint. */
export async function isHealthy(endpoint: string): Promise<boolean> {
  const { health } = JSON.parse(await ask('GET', `${endpoint}/health`)) as { readonly health?: string };
  return health === 'true';
}

function valuesOf(text: string): readonly string[] {
  const { kvs = [] } = JSON.parse(text) as Range;
  return kvs.map(({ value = '' }) => Buffer.from(value, 'base64').toString());
}

/** The first key after all that begin with this ASCII text. */
function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function ask(method: string, url: string, body?: string): Promise<string> {
  const signal = AbortSignal.timeout(READ_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    const call = request(url, { method, agent: false, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.once('error', reject).once('end', () => {
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`${url} answered ${answer.statusCode}: ${text}`));
      });
    });
    call.once('error', reject).end(body);
  });
}
