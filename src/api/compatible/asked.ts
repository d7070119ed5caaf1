/**
 * What the routes for the clients of older systems share: whose jobs they are about, and how a body is read that says
 * nothing of its type, as those clients send it.
 */
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { ApiAround } from '../around.ts';
import { MAX_BODY_BYTES, parseBody, readBody, STALL_MS, TOTAL_MS } from '../body.ts';
import { jobFleet } from '../jobs/job-project.ts';
import { problemOf } from '../problem.ts';
import type { Call, Caller } from '../route.ts';

/** Of a header. */
const MAX_REASON = 500;

const BOUNDS = { maxBytes: MAX_BODY_BYTES, stallMs: STALL_MS, totalMs: TOTAL_MS };
/** Of the API that is no agent's. */
const PROJECT = 'jobs';

/** Of jobs: those of the agent's own project. Throws forbidden. */
export function ownJobs(around: ApiAround, caller: Caller): JobFleet {
  const { project = PROJECT } = around;
  refuseOthers(caller, project);
  return jobFleet(around, project, caller);
}

/** The path names no project, so it is looked at here who may. Throws forbidden. */
export function refuseOthers({ projects, by }: Caller, project: string): void {
  if (projects.length === 0 || projects.includes(project)) return;
  throw new GantryError('forbidden', `${by} is not for the project ${project}`, {
    hint: `It is for: ${projects.join(', ')}.`,
  });
}

/** Throws usage for what is no JSON, too-large, too-slow. */
export async function jsonBody({ request }: Call): Promise<unknown> {
  return parseBody(await readBody(request, BOUNDS, () => undefined));
}

/**
 * Whoever waits for an answer hears nothing until then: his connection is not cut meanwhile. What is read of his body
 * has bounds of its own.
 */
export async function unhurried<T>({ request: { socket } }: Call, answer: () => Promise<T>): Promise<T> {
  const { timeout = 0 } = socket;
  socket.setTimeout(0);
  try {
    return await answer();
  } finally {
    // Whoever does not read his answer holds it.
    if (timeout > 0) socket.setTimeout(timeout);
  }
}

/** What those clients take for the server's own fault is 500, whatever of it; who sent his request too slowly is told. */
export function statusOf(error: GantryError): number {
  const { status } = problemOf(error);
  const isOurs = status > 500 || (error.retryable && error.code !== 'too-slow');
  return isOurs ? 500 : status;
}

/** Why, where the older system had no place for it: what is no header is left out. */
export function reasonIn({ message, hint }: GantryError): Readonly<Record<string, string>> {
  const words = hint === undefined ? message : `${message}. ${hint}`;
  return { 'gantryd-reason': words.replace(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_REASON) };
}
