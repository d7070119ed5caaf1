import assert from 'node:assert/strict';
import dns from 'node:dns';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextRound } from 'node:timers/promises';
import { probe } from '../../src/checks/probes.ts';
import { GantryError } from '../../src/errors.ts';
import {
  check,
  freePort,
  httpServer,
  httpsServer,
  NEVER,
  surroundings,
  target,
  tcpServer,
  until,
} from './servers.ts';

test('http passes on 2xx and tells status, latency and first bytes', async (t) => {
  const port = await httpServer(t, (_request, response) => response.end('fine\n'));
  const verdict = await probe(
    check({ id: 'web', port, path: '/health?x=1' }),
    target(),
    surroundings({ now: () => 42 }),
    NEVER,
  );
  assert.equal(verdict.ok, true);
  assert.equal(verdict.check, 'web');
  assert.equal(verdict.at, 42);
  assert.equal(verdict.status, 200);
  assert.ok(verdict.latencyMs > 0);
  const expected = /^http:\/\/127\.0\.0\.1:\d+\/health\?x=1 answered 200 in \d+ ms: "fine"$/;
  assert.match(verdict.saw, expected);
});

test('http fails on 503, once, without a retry', async (t) => {
  let requests = 0;
  const port = await httpServer(t, (_request, response) => {
    requests++;
    response.writeHead(503).end('starting');
  });
  const verdict = await ask({ port });
  assert.equal(verdict.ok, false);
  assert.equal(verdict.status, 503);
  assert.match(verdict.saw, /answered 503 in \d+ ms: "starting"$/);
  assert.equal(requests, 1);
});

test('http asks GET on a connection that is not kept', async (t) => {
  const seen: string[] = [];
  const sockets: Socket[] = [];
  const port = await httpServer(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.connection}`);
    sockets.push(request.socket);
    response.end();
  });
  assert.equal((await ask({ port })).ok, true);
  assert.deepEqual(seen, ['GET / close']);
  await until(() => sockets.every((socket) => socket.destroyed), 'the connection is closed');
});

test('http does not follow redirects', async (t) => {
  const asked: (string | undefined)[] = [];
  const port = await httpServer(t, (request, response) => {
    asked.push(request.url);
    response.writeHead(302, { location: '/login' }).end();
  });
  const verdict = await ask({ port });
  assert.equal(verdict.ok, false);
  assert.match(verdict.saw, /answered 302 in \d+ ms \(a redirect: "\/login", not followed\)$/);
  assert.deepEqual(asked, ['/']);
});

test('http shows at most 256 bytes, with control characters made visible', async (t) => {
  const port = await httpServer(t, (_request, response) =>
    response.end(`\x1b[31mred\u009b\u202e${'x'.repeat(400)}`),
  );
  const { saw } = await ask({ port });
  assert.match(saw, /"\\u001b\[31mred\\u009b\\u202ex+…"$/);
  assert.ok(saw.length < 400, saw);
});

test('http stops reading a body that never ends after 64 KiB and judges by the status', async (t) => {
  let sent = 0;
  let cut = false;
  const port = await httpServer(t, (_request, response) => {
    const chunk = Buffer.alloc(16 * 1024, 'y');
    const write = () => {
      while (!cut && response.write(chunk)) sent += chunk.length;
    };
    response.on('drain', write);
    response.on('close', () => {
      cut = true;
    });
    write();
  });
  const verdict = await ask({ port });
  assert.equal(verdict.ok, true, verdict.saw);
  await until(() => cut, 'the flood is cut');
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
});

test('http without an answer fails at the timeout', async (t) => {
  const port = await httpServer(t, () => undefined);
  const { ok, saw } = await ask({ port, timeoutMs: 60 });
  assert.deepEqual({ ok, saw }, { ok: false, saw: `no answer from http://127.0.0.1:${port}/ within 60 ms` });
});

test('http with a body that drips beyond the deadline fails at the deadline', async (t) => {
  const port = await httpServer(t, (_request, response) => {
    response.write('.');
    const timer = setInterval(() => response.write('.'), 10);
    response.on('close', () => clearInterval(timer));
  });
  const { ok, status, saw } = await ask({ port, timeoutMs: 120 });
  assert.equal(ok, false);
  assert.equal(status, 200);
  assert.match(saw, /answered 200, but its body did not end within 120 ms or broke off: "\.+"$/);
});

test('http with a body that breaks off fails', async (t) => {
  const port = await httpServer(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => response.destroy());
  });
  const { ok, saw } = await ask({ port });
  assert.equal(ok, false);
  assert.match(saw, /answered 200, but its body .* broke off: "half"$/);
});

test('http takes an answer as it comes: in pieces, after one that is not final, ended by the connection', async (t) => {
  const answers = [
    ['HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine'],
    ['HTTP/1.0 200 OK\r\n\r\nfi', 'ne'],
    ['HTT', 'P/1.1 200', '\r\nTransfer-Encoding: chu', 'nked\r\n\r\n2\r\nfi\r\n', '2\r\nne\r\n0\r\n\r\n'],
    ['HTTP/1.1 204 No Content\r\n\r\n'],
    ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ];
  const seen: string[] = [];
  for (const pieces of answers) {
    const port = await tcpServer(t, (socket) => {
      socket.setNoDelay().once('data', async () => {
        for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve));
        if (pieces[0]?.startsWith('HTTP/1.0')) socket.end();
      });
    });
    const { ok, saw } = await ask({ port });
    seen.push(`${ok} ${saw.replace(/^.* answered (\d+) in \d+ ms/, '$1')}`);
  }
  assert.deepEqual(seen, [
    'true 200: "fine"',
    'true 200: "fine"',
    'true 200: "fine"',
    'true 204',
    'false 101',
  ]);
});

test('http says what was asked as it was written, or as a URL would', async (t) => {
  const seen: string[] = [];
  const port = await httpServer(t, (request, response) => {
    seen.push(`${request.url} of ${request.headers.host}`);
    response.end();
  });
  for (const path of ['/a-b/c_d.html', '/a/../b', '/ü?q= x', '/']) await ask({ port, path });
  const paths = seen.map((line) => line.replace(` of 127.0.0.1:${port}`, ''));
  assert.deepEqual(paths, ['/a-b/c_d.html', '/b', '/%C3%BC?q=%20x', '/']);
});

test('http of many at once mixes nothing up', async (t) => {
  const port = await httpServer(t, (request, response) => {
    response.writeHead(200 + Number(request.url?.slice(1)), { 'x-long': 'y'.repeat(4000) });
    setImmediate(() => response.end(request.url));
  });
  const numbers = Array.from({ length: 40 }, (_, at) => at).filter((at) => at !== 4 && at !== 5);
  const verdicts = await Promise.all(numbers.map((at) => ask({ port, path: `/${at}` })));
  assert.deepEqual(
    verdicts.map(({ status }) => status),
    numbers.map((at) => 200 + at),
  );
  assert.ok(verdicts.every(({ saw }, at) => saw.endsWith(`"/${numbers[at]}"`)));
});

test('http after a question that ended in any way is asked as if it were the first', async (t) => {
  const fine = await httpServer(t, (_request, response) => response.end('fine'));
  const before = {
    refused: await freePort(),
    silent: await tcpServer(t, () => {}),
    hangsUp: await tcpServer(t, (socket) => socket.end()),
    resets: await tcpServer(t, (socket) => socket.once('data', () => socket.resetAndDestroy())),
    gibberish: await tcpServer(t, (socket) => socket.end('hello there\r\n')),
    cutHead: await tcpServer(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le')),
    cutBody: await tcpServer(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfi')),
    saysMore: await tcpServer(t, (socket) => socket.end('HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 No\r\n\r\n')),
    byItsEnd: await tcpServer(t, (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nfine')),
  };
  for (const [how, port] of [...Object.entries(before), ...Object.entries(before)]) {
    await ask({ port, timeoutMs: 50 });
    const next = await Promise.all([ask({ port: fine }), ask({ port: fine })]);
    assert.deepEqual(
      next.map(({ ok, status }) => ({ ok, status })),
      Array(2).fill({ ok: true, status: 200 }),
      `after ${how}`,
    );
    assert.ok(
      next.every(({ saw }) => saw.endsWith(': "fine"')),
      `after ${how}`,
    );
  }
});

test('http by a name is not answered by who was asked before, and whose address came late', async (t) => {
  const ports = { a: 0, b: 0 };
  for (const name of ['a', 'b'] as const)
    ports[name] = await httpServer(t, (_request, response) => response.end(name));
  const answers: (() => void)[] = [];
  t.mock.method(dns, 'lookup', (_host: string, _options: object, done: (...found: unknown[]) => void) => {
    answers.push(() => done(null, [{ address: '127.0.0.1', family: 4 }]));
  });
  const asking = (port: number, signal: AbortSignal) =>
    probe(check({ port }), target('somebody'), surroundings(), signal);
  const gone = new AbortController();
  const given = asking(ports.a, gone.signal);
  await until(() => answers.length === 1, 'the name to be looked up');
  gone.abort();
  await given;
  for (let round = 0; round < 2; round++) await nextRound(); // by then its connection is closed
  const asked = Promise.all(Array.from({ length: 64 }, () => asking(ports.b, NEVER))); // one of them on the same socket
  await until(() => answers.length === 65, 'the name to be looked up again');
  for (const answer of answers) answer();
  for (const { saw } of await asked) assert.match(saw, /answered 200 in \d+ ms: "b"$/);
});

test('http to a port nothing listens on says so', async () => {
  const port = await freePort();
  const { ok, saw } = await ask({ port });
  assert.equal(ok, false);
  assert.equal(saw, `nothing listens on 127.0.0.1:${port} (connection refused)`);
});

test('http to something that hangs up or speaks no HTTP says so', async (t) => {
  const silent = await tcpServer(t, (socket) => socket.end());
  const gibberish = await tcpServer(t, (socket) => socket.end('hello there\r\n'));
  assert.match((await ask({ port: silent })).saw, /closed the connection without an answer$/);
  assert.match((await ask({ port: gibberish })).saw, /answered, but not with HTTP \(HPE_/);
});

test('IPv6 hosts are bracketed', async (t) => {
  const port = await ipv6Server(t);
  if (port === undefined) return t.skip('this machine has no IPv6 loopback');
  const web = await probe(check({ port }), target('::1'), surroundings(), NEVER);
  assert.match(web.saw, /^http:\/\/\[::1\]:\d+\/ answered 200 /);
  const tcp = await probe(check({ kind: 'tcp', port }), target('::1'), surroundings(), NEVER);
  assert.match(tcp.saw, /^\[::1\]:\d+ accepted a connection/);
});

test('https accepts any certificate by default and verifies it when told to', async (t) => {
  const port = await httpsServer(t, (_request, response) => response.end('safe'));
  const any = await ask({ kind: 'https', port });
  assert.equal(any.ok, true, any.saw);
  assert.match(any.saw, /^https:\/\/127\.0\.0\.1:\d+\/ answered 200 in \d+ ms: "safe"$/);
  const strict = await ask({ kind: 'https', port, verify: true });
  assert.equal(strict.ok, false);
  assert.match(strict.saw, /^TLS with 127\.0\.0\.1:\d+ failed: self-signed certificate/);
});

test('https to a plain http port fails as TLS, http to an https port as an answer', async (t) => {
  const plain = await httpServer(t, (_request, response) => response.end());
  const tls = await httpsServer(t, (_request, response) => response.end());
  assert.match((await ask({ kind: 'https', port: plain })).saw, /^TLS with .* failed: /);
  assert.equal((await ask({ kind: 'http', port: tls })).ok, false);
});

test('tcp passes when a connection is accepted and closes it', async (t) => {
  const accepted: Socket[] = [];
  const port = await tcpServer(t, (socket) => accepted.push(socket.resume()));
  const { ok, saw } = await ask({ kind: 'tcp', port });
  assert.equal(ok, true);
  assert.match(saw, /^127\.0\.0\.1:\d+ accepted a connection in \d+ ms$/);
  await until(() => accepted.length === 1 && accepted[0]?.destroyed === true, 'the connection is closed');
});

test('tcp to a port nothing listens on fails', async () => {
  const port = await freePort();
  const { ok, saw } = await ask({ kind: 'tcp', port });
  assert.deepEqual(
    { ok, saw },
    { ok: false, saw: `nothing listens on 127.0.0.1:${port} (connection refused)` },
  );
});

test('exec passes on exit code 0 and shows the output', async () => {
  const calls: unknown[] = [];
  const around = surroundings({
    exec: async (...call) => {
      calls.push(call);
      return calls.length === 1 ? { exitCode: 0, output: '' } : { exitCode: 1, output: 'no\tdatabase\n' };
    },
  });
  const asked = check({ kind: 'exec', command: ['pg_isready', '-q'], timeoutMs: 500 });
  const passed = await probe(asked, target(), around, NEVER);
  const failed = await probe(asked, target(), around, NEVER);
  assert.deepEqual(calls[0], ['c0ffee', ['pg_isready', '-q'], 500]);
  assert.deepEqual([passed.ok, passed.status, passed.saw], [true, 0, 'exit code 0']);
  assert.deepEqual([failed.ok, failed.status, failed.saw], [false, 1, 'exit code 1: "no\\tdatabase"']);
});

test('a command that runs too long is a failure, an engine that is away is not', async () => {
  const asked = { kind: 'exec', command: ['sleep', '9'], timeoutMs: 30 } as const;
  const hang = () => new Promise<never>(() => undefined);
  const tooLong = await ask(asked, { exec: hang });
  assert.equal(tooLong.saw, 'the command did not end within 30 ms');
  assert.equal(tooLong.inconclusive, undefined);

  const answers = await ask(asked, { exec: hang, engineAnswers: async () => 'pong' });
  assert.equal(answers.inconclusive, undefined);

  const hung = await ask(asked, { exec: hang, engineAnswers: async () => Promise.reject(new Error('down')) });
  assert.equal(hung.inconclusive, true);

  const reject = (code: 'engine-unreachable' | 'engine-timeout' | 'container-gone') => ({
    exec: async () => Promise.reject(new GantryError(code, `it is ${code}`)),
  });
  const slow = { ...asked, timeoutMs: 5000 };
  assert.equal((await ask(slow, reject('engine-unreachable'))).inconclusive, true);
  assert.equal((await ask(slow, reject('engine-timeout'))).inconclusive, true);
  const gone = await ask(slow, reject('container-gone'));
  assert.deepEqual([gone.ok, gone.inconclusive], [false, undefined]);
  assert.equal(gone.saw, 'the command could not be run: it is container-gone');
});

test('surroundings that throw at once become a failed verdict', async () => {
  const exec = () => {
    throw new Error('a defect\nof two lines');
  };
  const verdict = await ask({ kind: 'exec', command: ['x'] }, { exec });
  assert.deepEqual([verdict.ok, verdict.saw], [false, 'the command could not be run: a defect of two lines']);
});

test('connection passes when the proxy holds none', async () => {
  const none = await ask({ kind: 'connection' }, { connections: async () => 0 });
  const one = await ask({ kind: 'connection' }, { connections: async () => 1 });
  const many = await ask({ kind: 'connection' }, { connections: async () => 12 });
  assert.deepEqual([none.ok, none.saw], [true, 'no connection is open']);
  assert.deepEqual([one.ok, one.saw], [false, '1 connection is open']);
  assert.deepEqual([many.ok, many.saw], [false, '12 connections are open']);
});

test('connection is inconclusive, and not passed, when the proxy does not tell', async () => {
  const away = await ask(
    { kind: 'connection' },
    { connections: async () => Promise.reject(new Error('gone')) },
  );
  assert.deepEqual([away.ok, away.inconclusive], [false, true]);
  assert.equal(away.saw, 'the proxy did not tell the connections: gone');
  const silent = await ask(
    { kind: 'connection', timeoutMs: 20 },
    { connections: () => new Promise(() => undefined) },
  );
  assert.deepEqual([silent.ok, silent.inconclusive], [false, true]);
});

test('every kind gives up at once when aborted', async (t) => {
  let reached = 0;
  const port = await httpServer(t, () => reached++);
  const tls = await httpsServer(t, () => reached++);
  const hang = () => new Promise<never>(() => undefined);
  const around = surroundings({ exec: hang, connections: hang });
  const abort = new AbortController();
  const kinds = [
    check({ kind: 'http', port, timeoutMs: 60_000 }),
    check({ kind: 'https', port: tls, timeoutMs: 60_000 }),
    check({ kind: 'exec', command: ['x'], timeoutMs: 60_000 }),
    check({ kind: 'connection', timeoutMs: 60_000 }),
  ];
  const asked = kinds.map((one) => probe(one, target(), around, abort.signal));
  await until(() => reached === 2, 'both servers are asked');
  abort.abort();
  for (const verdict of await Promise.all(asked)) {
    assert.deepEqual([verdict.ok, verdict.inconclusive], [false, true], verdict.saw);
  }
  const late = await Promise.all(
    [...kinds, check({ kind: 'tcp', port })].map((one) => probe(one, target(), around, abort.signal)),
  );
  assert.ok(late.every(({ inconclusive }) => inconclusive === true));
  assert.equal(reached, 2);
});

function ask(fields: Parameters<typeof check>[0], around: Parameters<typeof surroundings>[0] = {}) {
  return probe(check(fields), target(), surroundings(around), NEVER);
}

async function ipv6Server(t: TestContext): Promise<number | undefined> {
  try {
    return await httpServer(t, (_request, response) => response.end(), '::1');
  } catch {
    return undefined;
  }
}
