/** What is committed from the schema is what the schema says now, and the validator agrees with ajv. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { renderPublished, renderValidator } from '../../src/config/generate.ts';
import { EXAMPLE } from '../../src/config/reference.ts';
import { PROJECT_SCHEMA } from '../../src/config/schema.ts';
import { validate } from '../../src/config/validator.generated.js';
import { PACKAGE_ROOT } from '../../src/version.ts';

for (const [path, text] of Object.entries(renderPublished())) {
  test(`${path} is what the schema says`, () => {
    assert.equal(readFileSync(join(PACKAGE_ROOT, path), 'utf8'), text, 'run npm run build and commit it');
  });
}

test('the validator next to this build is the one of the schema', () => {
  const file = new URL('../../src/config/validator.generated.js', import.meta.url);
  assert.equal(readFileSync(file, 'utf8'), renderValidator());
});

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

test('every field of the schema has a description', () => {
  const undescribed: string[] = [];
  const visit = (node: object, path: string): void => {
    const { properties = {}, items } = node as { properties?: Record<string, object>; items?: object };
    for (const [field, child] of Object.entries(properties)) {
      if (!('description' in child)) undescribed.push(`${path}/${field}`);
      visit(child, `${path}/${field}`);
    }
    if (items !== undefined) visit(items, path);
  };
  visit(PROJECT_SCHEMA, '');
  assert.deepEqual(undescribed, []);
});
