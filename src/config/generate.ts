/**
 * Run by the build after the compiler: `node dist/src/config/generate.js [--check]`. Writes what is made
 * from the schema: the validator next to the compiled files (ajv takes 60 ms to load and compile, its
 * generated code none), schema/gantryd.schema.json and docs/config.md. With --check the latter two are
 * only compared, and the exit code is 1 when they are stale.
 */
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { PACKAGE_ROOT } from '../version.ts';
import { renderReference } from './reference.ts';
import { PROJECT_SCHEMA, ROOT } from './schema.ts';

const HERE = dirname(fileURLToPath(import.meta.url));

/** The committed files that are made from the schema: path in the package to text. */
export function renderPublished(): Readonly<Record<string, string>> {
  return {
    'schema/gantryd.schema.json': `${JSON.stringify(PROJECT_SCHEMA, null, 2)}\n`,
    'docs/config.md': renderReference(ROOT),
  };
}

/** The schema as an ES module without imports. */
export function renderValidator(): string {
  // unicode: false counts UTF-16 units for minLength, which spares the one helper ajv would import. ajv
  // warns of it as deprecated, hence no logger; strict mode throws what it would have logged besides.
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    logger: false,
    allowUnionTypes: true,
    unicode: false,
    code: { source: true, esm: true, lines: true },
  });
  const code = standalone.default(ajv, ajv.compile(PROJECT_SCHEMA));
  if (code.includes('require('))
    throw new Error('the generated validator would load parts of ajv at run time');
  return code;
}

function main(checkOnly: boolean): void {
  write(join(HERE, 'validator.generated.js'), renderValidator());
  for (const [path, text] of Object.entries(renderPublished())) {
    const file = join(PACKAGE_ROOT, path);
    if (!checkOnly) write(file, text);
    else if (read(file) !== text) {
      process.stderr.write(`${path} is stale; run npm run build and commit it\n`);
      process.exitCode = 1;
    }
  }
}

/** Leaves a file alone that is as it should be: builds may run side by side. */
function write(file: string, text: string): void {
  if (read(file) === text) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
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
  main(process.argv.includes('--check'));
}
