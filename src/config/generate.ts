/**
 * Run by the build after the compiler: `node dist/src/config/generate.js [--check]`. Writes what is made
 * from the schemas: validators next to the compiled files (ajv takes 60 ms to load and compile, its
 * generated code none), and what is committed below schema/ and docs/. With --check the latter is only
 * compared, and the exit code is 1 when something is stale.
 */
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { PACKAGE_ROOT } from '../version.ts';
import { renderJobReference } from './job-reference.ts';
import { JOB_SCHEMA, WORKFLOW_SCHEMA } from './job-schema.ts';
import { renderReference } from './reference.ts';
import { DOCKET_SCHEMA, SCHEDULE_SCHEMA, SCHEDULES_SCHEMA } from './schedule-schema.ts';
import { PROJECT_SCHEMA, ROOT } from './schema.ts';

const HERE = dirname(fileURLToPath(import.meta.url));

/** The committed files that are made from the schemas: path in the package to text. */
export function renderPublished(): Readonly<Record<string, string>> {
  return {
    'schema/gantryd.schema.json': json(PROJECT_SCHEMA),
    'schema/job.schema.json': json(JOB_SCHEMA),
    'schema/schedules.schema.json': json(SCHEDULES_SCHEMA),
    'docs/config.md': renderReference(ROOT),
    'docs/jobs.md': renderJobReference(),
  };
}

/** The validators as ES modules without imports: file name to text. */
export function renderValidators(): Readonly<Record<string, string>> {
  return {
    'validator.generated.js': asModule({ validate: PROJECT_SCHEMA }),
    'job-validators.generated.js': asModule({
      validateJob: JOB_SCHEMA,
      validateWorkflow: WORKFLOW_SCHEMA,
      validateSchedule: SCHEDULE_SCHEMA,
      validateDocket: DOCKET_SCHEMA,
    }),
  };
}

/** Each schema as a function of the given name. */
function asModule(schemas: Readonly<Record<string, object>>): string {
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
  const names = Object.keys(schemas);
  for (const name of names) ajv.addSchema(schemas[name] ?? {}, name);
  const code = standalone.default(ajv, Object.fromEntries(names.map((name) => [name, name])));
  if (code.includes('require(')) throw new Error('a generated validator would load parts of ajv at run time');
  return code;
}

function json(schema: object): string {
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function main(checkOnly: boolean): void {
  for (const [name, code] of Object.entries(renderValidators())) write(join(HERE, name), code);
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
