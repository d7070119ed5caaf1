/**
 * The service connector's API (genisys-connector-docker), for its clients. What it answers, and where it differs, is in
 * docs/compatibility.md.
 */
import { isRecord } from '../../config/problems.ts';
import { isGantryError } from '../../errors.ts';
import type { ApiAround } from '../around.ts';
import { problemOf } from '../problem.ts';
import type { Call, Reply, Route } from '../route.ts';
import { jsonBody, refuseOthers, unhurried } from './asked.ts';
import { type Definition, definitionOf, MISSING } from './service-definition.ts';
import { define, definitions, PROJECT, runningOf, scaleService } from './services.ts';

const TITLES = { 400: 'Bad Request', 500: 'Internal Server Error', 501: 'Not Implemented' } as const;
const NO_DATA = 'No data received';
/** Where one is all there is to miss. */
const MISSING_ONE = 'Missing parameter.';

/** Its errors are pages. */
class Page extends Error {
  readonly status: keyof typeof TITLES;

  constructor(status: keyof typeof TITLES, message: string) {
    super(message);
    this.status = status;
  }
}

export function serviceRoutes(around: ApiAround): readonly Route[] {
  const of = { tag: 'service connector', compatible: true, answer: { status: 200 } } as const;
  const one = '/service/:name';
  const answered = (handle: (around: ApiAround, call: Call) => Promise<Reply>) => (call: Call) =>
    told(call, () => {
      refuseOthers(call.caller, PROJECT);
      return handle(around, call);
    });
  return [
    {
      ...{ ...of, method: 'GET', path: '/service', access: 'read', summary: 'All services' },
      handle: answered(list),
    },
    {
      ...{ ...of, method: 'POST', path: '/service', access: 'deploy', body: 'bytes' },
      ...{ summary: 'Define a service', handle: answered(create) },
    },
    {
      ...{ ...of, method: 'GET', path: one, access: 'read', summary: 'A service' },
      handle: answered(async (_, call) => ({ status: 200, body: await definedAt(around, call) })),
    },
    {
      ...{ ...of, method: 'PUT', path: one, access: 'deploy', body: 'bytes' },
      ...{ summary: 'Define a service of that name', handle: answered(replace) },
    },
    {
      ...{ ...of, method: 'POST', path: `${one}/scale`, access: 'deploy', body: 'bytes' },
      ...{ summary: 'Run so many containers of it', handle: answered(scaled) },
    },
    {
      ...{ ...of, method: 'GET', path: `${one}/status`, access: 'read' },
      ...{ summary: 'How many containers of it run', handle: answered(status) },
    },
  ];
}

async function told(call: Call, answer: () => Promise<Reply>): Promise<Reply | undefined> {
  try {
    return await unhurried(call, answer);
  } catch (error) {
    const { response } = call;
    const { status, message } = pageOf(error);
    const page = `<!DOCTYPE html>\n<title>Error: ${status} ${TITLES[status]}</title>\n<h1>Error: ${status} ${TITLES[status]}</h1>\n<p>${escaped(message)}</p>\n`;
    response.writeHead(status, {
      'content-type': 'text/html; charset=UTF-8',
      'content-length': Buffer.byteLength(page),
    });
    response.end(page);
    return undefined;
  }
}

/** Whatever the client could have sent better is 400, and everything else 500: it knew no others. */
function pageOf(error: unknown): Page {
  if (error instanceof Page) return error;
  if (!isGantryError(error) || error.code === 'forbidden') throw error;
  const { status } = problemOf(error);
  const isClients = ['usage', 'config-invalid', 'too-large'].includes(error.code) && !error.retryable;
  const words = error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
  return new Page((isClients && status < 500) || error.code === 'too-slow' ? 400 : 500, words);
}

async function list(around: ApiAround): Promise<Reply> {
  return { status: 200, body: Object.fromEntries(await definitions(around)) };
}

async function create(around: ApiAround, call: Call): Promise<Reply> {
  await define(around, read(await sent(call)), { by: call.caller.by, signal: call.signal });
  return { status: 200 };
}

/** Its name is that of the path. */
async function replace(around: ApiAround, call: Call): Promise<Reply> {
  const definition = read({ ...(await sent(call)), name: call.params.name }, MISSING_ONE);
  await define(around, definition, { by: call.caller.by, signal: call.signal });
  return { status: 200 };
}

async function scaled(around: ApiAround, call: Call): Promise<Reply> {
  const { number } = await sent(call);
  if (number === undefined || number === null) throw new Page(400, MISSING_ONE);
  const isNumber = typeof number === 'number' || typeof number === 'string';
  if (!isNumber || !/^\d{1,4}$/.test(String(number)))
    throw new Page(400, 'Invalid value for number parameter.');
  const { name } = await definedAt(around, call);
  await scaleService(around, name, Number(number), { by: call.caller.by, signal: call.signal });
  return { status: 200 };
}

async function status(around: ApiAround, call: Call): Promise<Reply> {
  const { name } = await definedAt(around, call);
  return { status: 200, body: { running_resources: await runningOf(around, name) } };
}

async function definedAt(around: ApiAround, { params: { name = '' } }: Call): Promise<Definition> {
  const definition = (await definitions(around)).get(name);
  if (definition === undefined) throw new Page(501, `Undefined service: ${name}.`);
  return definition;
}

async function sent(call: Call): Promise<Readonly<Record<string, unknown>>> {
  const body = await jsonBody(call).catch((error: unknown) => {
    if (isGantryError(error, 'usage')) throw new Page(400, NO_DATA);
    throw error;
  });
  if (isRecord(body) && Object.keys(body).length > 0) return body;
  throw new Page(400, NO_DATA);
}

function read(body: unknown, missing = MISSING): Definition {
  const definition = definitionOf(body);
  if ('problem' in definition)
    throw new Page(400, definition.problem === MISSING ? missing : definition.problem);
  return definition;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
