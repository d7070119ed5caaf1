/**
 * Run by the build: `node dist/src/api/generate.js [--check]`. Writes schema/openapi.json, the document that the API
 * serves at /openapi.json, for whoever makes a client without a server at hand. With --check it is only compared, and
 * the exit code is 1 when it is stale.
 */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keys } from '../cluster/keys.ts';
import type { Store } from '../cluster/store.ts';
import { openMetrics } from '../metrics/open.ts';
import { PACKAGE_ROOT, VERSION } from '../version.ts';
import { openApiDocument } from './openapi.ts';
import { apiRoutes } from './routes.ts';

/** In the package. */
export const OPENAPI_FILE = 'schema/openapi.json';

/** The document as text: of an API that has numbers, as every `gantryd api` and agent does. */
export async function renderOpenApi(): Promise<string> {
  const metrics = await openMetrics();
  // The routes are told of, and none is asked.
  const routes = apiRoutes({ store: {} as Store, keys: keys(), now: Date.now, metrics });
  return `${JSON.stringify(openApiDocument(routes, VERSION), null, 2)}\n`;
}

async function main(checkOnly: boolean): Promise<void> {
  const text = await renderOpenApi();
  const file = join(PACKAGE_ROOT, OPENAPI_FILE);
  if (read(file) === text) return;
  if (!checkOnly) return writeFileSync(file, text);
  process.stderr.write(`${OPENAPI_FILE} is stale; run npm run build and commit it\n`);
  process.exitCode = 1;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const [, script] = process.argv;
if (script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  await main(process.argv.includes('--check'));
}
