/**
 * The example worker: one file, no packages. A job is a file NAME.todo in the folder /jobs; the worker renames it
 * to .doing, works for WORK_MS, writes down which version did it and renames it to .done. It serves nobody, but
 * answers on one port what gantryd asks: is it up, finish now, has it finished.
 */
import { appendFile, readdir, rename } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const VERSION = process.env.VERSION ?? 'none';
const PORT = Number(process.env.PORT ?? 8080);
const JOBS = process.env.JOBS ?? '/jobs';
const WORK_MS = Number(process.env.WORK_MS ?? 2000);
const LOOK_MS = 100;

const state = { finishing: false, job: undefined };

const ROUTES = {
  '/health': () => [200, 'ok'],
  '/finish': () => {
    state.finishing = true;
    return [202, 'taking no further job'];
  },
  '/idle': () => (state.job === undefined ? [200, 'idle'] : [503, `working on ${state.job}`]),
};

process.on('SIGTERM', () => process.exit(0));
createServer((request, response) => {
  const [status, text] = ROUTES[request.url]?.() ?? [404, 'not found'];
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`);
}).listen(PORT, () => console.log(`example worker ${VERSION} takes jobs of ${JOBS}`));

while (!state.finishing) {
  await takeJob();
  if (state.job !== undefined) await work(state.job);
  else await delay(LOOK_MS);
}

async function work(job) {
  const doing = join(JOBS, `${job}.doing`);
  await delay(WORK_MS);
  await appendFile(doing, `done by ${VERSION}\n`);
  await rename(doing, join(JOBS, `${job}.done`));
  console.log(`${job} is done`);
  state.job = undefined;
}

/** The rename decides who has the job when several workers want it. In hand already while it is tried. */
async function takeJob() {
  const waiting = (await readdir(JOBS)).filter((name) => name.endsWith('.todo')).sort();
  for (const name of waiting) {
    if (state.finishing) return;
    state.job = name.slice(0, -'.todo'.length);
    try {
      await rename(join(JOBS, name), join(JOBS, `${state.job}.doing`));
      return;
    } catch (error) {
      state.job = undefined;
      if (error.code !== 'ENOENT') throw error;
    }
  }
}
