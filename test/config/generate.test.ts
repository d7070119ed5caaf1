/** What is committed from the schema is what the schema says now, and the validator agrees with ajv. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { renderPublished, renderValidators } from '../../src/config/generate.ts';
import { JOB_SCHEMA, WORKFLOW_SCHEMA } from '../../src/config/job-schema.ts';
import { EXAMPLE } from '../../src/config/reference.ts';
import { DOCKET_SCHEMA, SCHEDULES_SCHEMA } from '../../src/config/schedule-schema.ts';
import { PROJECT_SCHEMA } from '../../src/config/schema.ts';
import { validate } from '../../src/config/validator.generated.js';
import { PACKAGE_ROOT } from '../../src/version.ts';

const SCHEMAS = {
  project: PROJECT_SCHEMA,
  job: JOB_SCHEMA,
  workflow: WORKFLOW_SCHEMA,
  schedules: SCHEDULES_SCHEMA,
  docket: DOCKET_SCHEMA,
};

for (const [path, text] of Object.entries(renderPublished())) {
  test(`${path} is what the schema says`, () => {
    assert.equal(readFileSync(join(PACKAGE_ROOT, path), 'utf8'), text, 'run npm run build and commit it');
  });
}

for (const [name, code] of Object.entries(renderValidators())) {
  test(`${name} next to this build is the one of the schemas`, () => {
    const file = new URL(`../../src/config/${name}`, import.meta.url);
    assert.equal(readFileSync(file, 'utf8'), code);
  });
}

test('the published schema accepts the example, as an editor would', () => {
  const schema = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'schema/gantryd.schema.json'), 'utf8'));
  const check = new Ajv({ allowUnionTypes: true }).compile(schema);
  assert.ok(check(JSON.parse(EXAMPLE)), JSON.stringify(check.errors));
  assert.ok(validate(JSON.parse(EXAMPLE)));
});

test('the validator leaves its input alone', () => {
  const document = { components: [{ name: 'web', repo: 'nginx', extra: '1' }] };
  const before = structuredClone(document);
  assert.equal(validate(document), false);
  assert.deepEqual(document, before);
});

for (const [title, schema] of Object.entries(SCHEMAS))
  test(`every field has a description: ${title}`, () => {
    const undescribed: string[] = [];
    const visit = (node: object, path: string): void => {
      const { properties = {}, items } = node as { properties?: Record<string, object>; items?: object };
      for (const [field, child] of Object.entries(properties)) {
        if (!('description' in child)) undescribed.push(`${path}/${field}`);
        visit(child, `${path}/${field}`);
      }
      if (items !== undefined) visit(items, path);
    };
    visit(schema, '');
    assert.deepEqual(undescribed, []);
  });
