/**
 * The clients of the quickstart. They never retry: a request that fails has failed, and an answer counts only
 * when it is whole and right. The WebSocket and the event stream are opened once; an end nobody asked for
 * is a cut. So is the end of a kept connection.
 */
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import WebSocket from 'ws';

const LOOPBACK = '127.0.0.1';
const KEEP_ALIVE_CLIENTS = 4;
const NEW_CONNECTION_CLIENTS = 2;
const PACE_MS = 25;
const POLL_MS = 5;
const ANSWER_TIMEOUT_MS = 10_000;

/** Starts all clients; resolves once the WebSocket and the event stream stand. */
export async function startTraffic(port, host = LOOPBACK) {
  const place = { host, port };
  const streams = [await openWebSocket(place), await openEvents(place)];
  const askers = [keepAliveClients(place), newConnectionClients(place)];
  const seen = () => [...askers, ...streams].map((client) => client.tally);
  let stopped = false;
  const closeStreams = async () => {
    await Promise.all(streams.map((stream) => stream.close()));
    return Date.now();
  };
  return {
    seen,
    closeStreams,
    /** Resolves when a client has its first answer of this version, or when all are stopped. */
    async firstAnswer(version) {
      while (!stopped && !seen().some((tally) => tally.versions.has(version))) await delay(POLL_MS);
    },
    /** Ends all clients and awaits what is in flight. */
    async stop() {
      stopped = true;
      await Promise.all([...askers.map((asker) => asker.stop()), closeStreams()]);
    },
  };
}

/** What one kind of client saw. `versions`: version to {count, firstAt, lastAt}, in epoch milliseconds. */
class Tally {
  connections = 0;
  sent = 0;
  failed = 0;
  cut = 0;
  errors = [];
  versions = new Map();

  constructor(name) {
    this.name = name;
  }

  answered(version) {
    const at = Date.now();
    const { count, firstAt } = this.versions.get(version) ?? { count: 0, firstAt: at };
    this.versions.set(version, { count: count + 1, firstAt, lastAt: at });
  }

  fail(error) {
    this.failed += 1;
    this.errors.push(`${this.name}: ${error.message}`);
  }

  lose(why) {
    this.cut += 1;
    this.errors.push(`${this.name}: ${why}`);
  }
}

function keepAliveClients(place) {
  const tally = new Tally(`${KEEP_ALIVE_CLIENTS} clients, kept connections`);
  const agents = Array.from(
    { length: KEEP_ALIVE_CLIENTS },
    () => new Agent({ keepAlive: true, maxSockets: 1 }),
  );
  const clients = askers(agents, tally, place, (socket, stopping) => {
    socket.once('close', () => stopping() || tally.lose('a kept connection was closed'));
  });
  return {
    tally,
    async stop() {
      await clients.stop();
      for (const agent of agents) agent.destroy();
    },
  };
}

/** Without an agent Node opens a connection for each request and says `Connection: close`. */
function newConnectionClients(place) {
  const tally = new Tally(`${NEW_CONNECTION_CLIENTS} clients, new connections`);
  return { tally, ...askers(Array(NEW_CONNECTION_CLIENTS).fill(false), tally, place, () => {}) };
}

/** One client an agent, each asking one request after the other until stopped. */
function askers(agents, tally, place, onConnection) {
  let stopping = false;
  const connected = (socket) => {
    tally.connections += 1;
    onConnection(socket, () => stopping);
  };
  const going = agents.map(async (agent) => {
    while (!stopping) {
      tally.sent += 1;
      await ask({ ...place, agent }, connected).then(
        (version) => tally.answered(version),
        (error) => tally.fail(error),
      );
      await delay(PACE_MS);
    }
  });
  return {
    async stop() {
      stopping = true;
      await Promise.all(going);
    },
  };
}

/** Resolves with the version that answered, which head and body must agree on. */
function ask(options, connected) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const request = get({ ...options, path: '/version', signal }, async (answer) => {
      try {
        const version = (await text(answer)).trim();
        const right = answer.statusCode === 200 && version === answer.headers['x-version'];
        if (right) resolve(version);
        else reject(new Error(`answered ${answer.statusCode}: ${version.slice(0, 200)}`));
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
    request.on('socket', (socket) => socket.connecting && socket.once('connect', () => connected(socket)));
  });
}

async function text(answer) {
  let whole = '';
  for await (const chunk of answer.setEncoding('utf8')) whole += chunk;
  return whole;
}

/** Says something every tick; it must come back before the next thing is said. */
async function openWebSocket({ host, port }) {
  const tally = new Tally('1 WebSocket, echoing');
  const socket = new WebSocket(`ws://${host}:${port}/ws`, { handshakeTimeout: ANSWER_TIMEOUT_MS });
  const line = watch(tally, socket);
  const hello = once(socket, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  const { version } = JSON.parse((await hello)[0]);
  tally.connections = 1;
  let stopping = false;
  const going = (async () => {
    while (!stopping && socket.readyState === WebSocket.OPEN) {
      await echo(tally, socket, version, line.lost);
      await delay(PACE_MS);
    }
  })();
  return {
    tally,
    async close() {
      stopping = true;
      await going;
      await line.end(() => socket.close());
    },
  };
}

async function echo(tally, socket, version, lost) {
  tally.sent += 1;
  const message = `message ${tally.sent}`;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ANSWER_TIMEOUT_MS);
  try {
    const back = once(socket, 'message', { signal: AbortSignal.any([lost, late.signal]) });
    socket.send(message);
    const [got] = await back;
    if (String(got) !== message) throw new Error(`sent "${message}" and got "${got}"`);
    tally.answered(version);
  } catch (error) {
    tally.fail(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Server-sent events, numbered; each must follow the one before. */
async function openEvents(place) {
  const tally = new Tally('1 event stream');
  const request = get({ ...place, path: `/events?every=${PACE_MS}`, agent: false });
  const [answer] = await once(request, 'response', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  const line = watch(tally, answer);
  tally.connections = 1;
  const lines = createInterface({ input: answer });
  lines.on('error', () => {}); // it repeats what the answer says
  lines.on('line', (text) => {
    if (text.startsWith('data: ')) count(tally, JSON.parse(text.slice('data: '.length)));
  });
  return { tally, close: () => line.end(() => answer.destroy()) };
}

function count(tally, { version, number }) {
  tally.sent += 1;
  if (number === tally.sent) tally.answered(version);
  else tally.fail(new Error(`event ${number} came where ${tally.sent} was due`));
}

/** Counts an end as a cut, once, unless it comes after `end` asked for it. `lost` is aborted by a cut. */
function watch(tally, stream) {
  const cut = new AbortController();
  let over = false;
  const lose = (why) => {
    if (!over) tally.lose(why);
    over = true;
    cut.abort(new Error(why));
  };
  const ended = new Promise((resolve) => stream.once('close', resolve));
  stream.on('error', (error) => lose(error.message));
  stream.once('close', () => lose('closed by the other side'));
  return {
    lost: cut.signal,
    async end(close) {
      over = true;
      close();
      await ended;
    },
  };
}
