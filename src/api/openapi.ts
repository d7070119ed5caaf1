/** The OpenAPI 3.1 document, made of the routes: it says what the server checks, since it is the same. Pure. */
import { STATUS_CODES } from 'node:http';
import { PROBLEM } from './problem.ts';
import type { Route, Schema } from './route.ts';

const BYTES = 'application/octet-stream';
const JSON_TYPE = 'application/json';
const DESCRIPTION =
  'Deploys and keeps containers running across Docker hosts through etcd, and runs jobs. Every error is application/problem+json.';

export function openApiDocument(routes: readonly Route[], version: string): object {
  const told = routes.filter((route) => route.access !== 'peer');
  const paths: Record<string, Record<string, object>> = {};
  for (const route of told) {
    const path = route.path.replace(/:([^/]+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'gantryd',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(told.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: { Problem },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: '`gantryd token create` makes one.' },
      },
    },
  };
}

const Problem: Schema = {
  type: 'object',
  description: 'RFC 9457',
  required: ['title', 'status', 'detail', 'code', 'retryable'],
  properties: {
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'What happened' },
    code: { type: 'string', description: 'As docs/errors.md lists them' },
    hint: { type: 'string', description: 'What to do' },
    retryable: { type: 'boolean', description: 'The same may succeed later' },
    problems: {
      type: 'array',
      description: 'All that is wrong with what was sent',
      items: {
        type: 'object',
        required: ['pointer', 'message'],
        properties: {
          pointer: { type: 'string', description: 'RFC 6901; `?name`: a word of the query' },
          message: { type: 'string' },
        },
      },
    },
  },
};

/** Of a route for the clients of another system. */
const AS_IT_WAS = { description: 'As the system answered whose clients ask here: docs/compatibility.md' };

function operation(route: Route): object {
  const { access, summary, tag, body } = route;
  return {
    summary,
    tags: [tag],
    operationId: operationId(route),
    'x-role': access,
    security: access === 'open' ? [] : [{ token: [] }],
    parameters: [...inPath(route), ...inQuery(route), ...inHeaders(route)],
    ...(body === undefined ? {} : { requestBody: requestBody(route, body) }),
    responses: { ...success(route), default: route.compatible === true ? AS_IT_WAS : problem() },
  };
}

/** `GET /v1/projects/:project/config`: `getProjectsByProjectConfig`. A slash at the end is a word, too. */
function operationId({ method, path }: Route): string {
  const parts = path
    .replace(/\/$/, '/slash')
    .split(/[/.]/)
    .filter((part) => part !== '' && part !== 'v1');
  const words = parts.map((part) => (part.startsWith(':') ? `By${capital(part.slice(1))}` : capital(part)));
  return `${method.toLowerCase()}${words.join('')}`.replace(/[^a-zA-Z0-9]/g, '');
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function inPath({ path }: Route): readonly object[] {
  return [...path.matchAll(/:([^/]+)/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
  }));
}

function inQuery({ query = {} }: Route): readonly object[] {
  return Object.entries(query).map(([name, { description, ...schema }]) => ({
    ...{ name, in: 'query', required: false, description, schema },
  }));
}

/** A connection that goes over to another protocol has to be offered; what is said on it, docs/api.md tells. */
function inHeaders({ upgrade }: Route): readonly object[] {
  if (upgrade === undefined) return [];
  const of = { in: 'header', required: true } as const;
  return [
    { ...of, name: 'Connection', schema: { const: 'Upgrade' } },
    { ...of, name: 'Upgrade', schema: { const: upgrade } },
  ];
}

function requestBody({ compatible }: Route, body: NonNullable<Route['body']>): object {
  if (compatible === true) return { required: true, content: { [JSON_TYPE]: {} } };
  if (body === 'bytes') return { required: true, content: { [BYTES]: {} } };
  const isRequired = Array.isArray(body.schema.required) && body.schema.required.length > 0;
  return { required: isRequired, content: { [JSON_TYPE]: { schema: body.schema } } };
}

function success({ answer }: Route): Readonly<Record<string, object>> {
  if (typeof answer === 'string') return { 200: { description: 'OK', content: { [answer]: {} } } };
  const { status, schema } = answer;
  const description = STATUS_CODES[status] ?? 'Success';
  const content = schema === undefined ? {} : { content: { [JSON_TYPE]: { schema } } };
  // What is waited for is answered when it is over.
  return {
    [status]: { description, ...content },
    ...(status === 202 ? { 200: { description: 'OK', ...content } } : {}),
  };
}

function problem(): object {
  const schema = { $ref: '#/components/schemas/Problem' };
  return { description: 'What happened, why, and what to do', content: { [PROBLEM]: { schema } } };
}
