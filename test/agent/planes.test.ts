import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planesOf, planeWords } from '../../src/agent/planes.ts';
import type { ListenerReport } from '../../src/proxy/control/protocol.ts';

const port = (more: Partial<ListenerReport>): ListenerReport => ({
  ...{ owner: 'shop', component: 'db', address: '0.0.0.0', port: 5432, kind: 'tcp', connections: 0 },
  ...more,
});

test('what the kernel leads is told by place, and what it does not by its reason', () => {
  const why = 'db asks for the kernel plane on [::1]:53, which this host cannot: This host has no nft.';
  assert.deepEqual(
    planeWords([
      port({ plane: 'kernel' }),
      port({ plane: 'kernel', kind: 'udp', port: 53 }),
      port({ port: 80 }),
      port({ address: '::1', planeWhy: why }),
    ]),
    ['The kernel leads 0.0.0.0:5432, 0.0.0.0:53/udp', `The kernel does not lead [::1]:5432: ${why}`],
  );
});

test('a component that leaves its ports to the proxy has nothing to tell', () => {
  assert.deepEqual(
    planesOf({ listeners: [port({}), port({ component: 'web', plane: 'kernel' })] }, 'db'),
    {},
  );
});
