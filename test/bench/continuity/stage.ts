/** What the parts of `continuity` have in common: the image, a fleet, and asking a host which release answers. */
import { request } from 'node:http';
import type { FleetShop } from '../../e2e/fleet.ts';
import type { Host } from '../../ground/hosts.ts';
import type { Place } from '../../ground/requests.ts';

const ASK_MS = 10_000;
export const WEB = 'web';

export type Say = (line: string) => void;

/** Resolves, when the whole answer is there, with the version that gave it. Over a new connection. */
export function askVersion(place: Place, path = '/version'): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...place, path, agent: false, signal: AbortSignal.timeout(ASK_MS) }, (answer) => {
      answer.once('error', reject).once('end', () => {
        if (answer.statusCode === 200) resolve(String(answer.headers['x-version']));
        else reject(new Error(`${path} answered ${answer.statusCode}`));
      });
      answer.resume();
    });
    asked.once('error', reject).end();
  });
}

/** The process of a host's proxy. */
export async function proxyPid(host: Host): Promise<number> {
  const { code, stdout, stderr } = await host.gantryd(['proxy', 'status', '--json']);
  const { pid } = JSON.parse(stdout || '{}') as { pid?: number };
  if (pid === undefined) throw new Error(`proxy status ended with ${code}: ${stdout}${stderr}`);
  return pid;
}

/** The only host of a fleet of one. */
export function onlyHost({ hosts: [host] }: FleetShop): Host {
  if (host === undefined) throw new Error('a fleet without hosts');
  return host;
}
