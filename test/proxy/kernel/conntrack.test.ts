import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { flowOf, readFlows } from '../../../src/proxy/kernel/conntrack.ts';

const OURS = 0x10000000;

function line(state: string, rest: string): string {
  return `ipv4     2 tcp      6 431999 ${state} ${rest} use=2`;
}

function led(clientPort: number, counted = false): string {
  const bytes = (count: number) => (counted ? ` packets=3 bytes=${count}` : '');
  const asked = `src=127.0.0.1 dst=127.0.0.1 sport=${clientPort} dport=7000${bytes(100)}`;
  return `${asked} src=172.30.0.2 dst=172.30.0.1 sport=80 dport=${clientPort}${bytes(11)} [ASSURED] mark=${OURS + 4} zone=0`;
}

test('a connection with our mark is told, with the address under which the container sees the client', () => {
  assert.deepEqual(flowOf(line('ESTABLISHED', led(40000))), {
    protocol: 'tcp',
    client: '127.0.0.1:40000',
    listenerPort: 7000,
    host: '172.30.0.2',
    port: 80,
    bytes: undefined,
    seenHost: '172.30.0.1',
    seenPort: 40000,
  });
});

test('bytes of both ways are added where the kernel counts them', () => {
  assert.equal(flowOf(line('ESTABLISHED', led(40000, true)))?.bytes, 111);
});

test('IPv6 is told as short as Docker tells it, and datagrams have no state', () => {
  const full = (last: string) => `fd00:0051:0000:0000:0000:0000:0000:${last}`;
  const asked = `src=${full('0002')} dst=${full('0001')} sport=40000 dport=7000`;
  const reply = `src=${full('0003')} dst=${full('0002')} sport=53 dport=40000`;
  const flow = flowOf(`ipv6     10 udp      17 29 ${asked} [UNREPLIED] ${reply} mark=${OURS} zone=0 use=2`);
  assert.equal(flow?.protocol, 'udp');
  assert.equal(flow?.client, '[fd00:51::2]:40000');
  assert.equal(flow?.host, 'fd00:51::3');
});

test('what has ended, what is of others and what is no connection is left out', () => {
  assert.equal(flowOf(line('TIME_WAIT', led(40000))), undefined);
  assert.equal(flowOf(line('CLOSE', led(40000))), undefined);
  assert.equal(flowOf(line('ESTABLISHED', led(40000).replace(/mark=\d+/, 'mark=4'))), undefined);
  assert.equal(flowOf(line('ESTABLISHED', led(40000).replace(/mark=\d+/, ''))), undefined);
  assert.equal(flowOf(line('ESTABLISHED', led(40000)).replace(' tcp ', ' sctp ')), undefined);
  assert.equal(flowOf(''), undefined);
});

test('fifty thousand connections are read without holding anything up', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-conntrack-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'nf_conntrack');
  const lines = Array.from({ length: 50_000 }, (_, i) => line('ESTABLISHED', led(1024 + i)));
  await writeFile(path, `${lines.join('\n')}\n`);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const flows = await readFlows(path);
  clearInterval(timer);
  assert.equal(flows.length, 50_000);
  assert.equal(new Set(flows.map(({ client }) => client)).size, 50_000);
  assert.ok(turns >= 10, `others had ${turns} turns meanwhile`);
});

test('a kernel that does not tell is a failure with a hint', async () => {
  await assert.rejects(readFlows('/proc/self/nothing'), { code: 'proxy-failed', message: /ENOENT/ });
});
