import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkVariables } from '../../src/agent/links.ts';

test('a link is told by the variables of the first gantryd', () => {
  const variables = linkVariables('serverAlias', {
    host: '172.17.42.1',
    port: 53852,
    kind: 'tcp',
    containerPort: 8888,
  });
  assert.deepEqual(variables, {
    SERVERALIAS_CLINK: 'tcp://172.17.42.1:53852',
    SERVERALIAS_CLINK_8888_TCP: 'tcp://172.17.42.1:53852',
    SERVERALIAS_CLINK_8888_TCP_PROTO: 'tcp',
    SERVERALIAS_CLINK_8888_TCP_ADDR: '172.17.42.1',
    SERVERALIAS_CLINK_8888_TCP_PORT: '53852',
  });
});
