/** The tokens of the API over the API, for who may everything. */
import { NAME } from '../config/name.ts';
import type { ApiAround } from './around.ts';
import type { Call, Reply, Route } from './route.ts';
import { createToken, listTokens, revokeToken, TOKEN_NAME, type Tokens } from './tokens.ts';

const text = { type: 'string' } as const;
const role = { enum: ['read', 'deploy', 'admin'], description: 'Each includes those before it' } as const;
const projects = { type: 'array', items: text, description: 'Empty: all' } as const;
const row = { id: text, name: text, role, projects, by: text, at: { ...text, format: 'date-time' } } as const;
const Row = { type: 'object', required: Object.keys(row), properties: row } as const;

export function tokenRoutes(around: ApiAround): readonly Route[] {
  const of = { access: 'admin', tag: 'tokens' } as const;
  return [
    {
      ...{ ...of, method: 'GET', path: '/v1/tokens', summary: 'Who may use the API; no token is shown' },
      answer: {
        status: 200,
        schema: { type: 'object', properties: { tokens: { type: 'array', items: Row } } },
      },
      handle: async () => ({ status: 200, body: { tokens: await listTokens(around) } }),
    },
    {
      ...{ ...of, method: 'POST', path: '/v1/tokens', summary: 'Make a token; it is answered once' },
      body: { schema: NewToken },
      answer: {
        status: 201,
        schema: { ...Row, required: [...Row.required, 'token'], properties: { ...row, token: text } },
      },
      handle: (call) => create(around, call),
    },
    {
      ...{ ...of, method: 'DELETE', path: '/v1/tokens/:token', summary: 'Take one back, by its name or id' },
      answer: { status: 200, schema: Row },
      handle: async ({ params, caller }) => ({
        status: 200,
        body: await revokeToken(around, params.token ?? '', caller.by),
      }),
    },
  ];
}

const NewToken = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: {
    name: { type: 'string', pattern: TOKEN_NAME },
    role: { ...role, default: 'read' },
    projects: {
      ...projects,
      maxItems: 100,
      items: { type: 'string', pattern: NAME },
    },
  },
} as const;

async function create(tokens: Tokens, { body, caller }: Call): Promise<Reply> {
  const {
    name,
    role = 'read',
    projects = [],
  } = body as {
    readonly name: string;
    readonly role?: 'read' | 'deploy' | 'admin';
    readonly projects?: readonly string[];
  };
  return { status: 201, body: await createToken(tokens, { name, role, projects, by: caller.by }) };
}
