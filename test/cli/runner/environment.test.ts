import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differingVariable, environmentOfRunner } from '../../../src/cli/runner/environment.ts';

test('a runner is given what finds engines, registries and folders, and nothing else', () => {
  const given = {
    HOME: '/root',
    DOCKER_HOST: 'tcp://a',
    PATH: '/bin',
    GANTRYD_ETCD: 'x',
    AWS_SECRET: 'y',
    https_proxy: 'p',
  };
  assert.deepEqual(Object.keys(environmentOfRunner(given)).sort(), [
    'DOCKER_HOST',
    'HOME',
    'PATH',
    'https_proxy',
  ]);
});

test('what it would do otherwise for another command is told by the variable', () => {
  const own = { HOME: '/root', PATH: '/bin', DOCKER_HOST: 'tcp://a' };
  assert.equal(
    differingVariable(own, { ...own, PATH: '/usr/bin', WHO: 'me', XDG_SESSION_ID: '7' }),
    undefined,
  );
  assert.equal(differingVariable(own, { ...own, DOCKER_HOST: 'tcp://b' }), 'DOCKER_HOST');
  assert.equal(differingVariable(own, { HOME: '/root' }), 'DOCKER_HOST');
  assert.equal(differingVariable(own, { ...own, DOCKER_CONFIG: '/x' }), 'DOCKER_CONFIG');
});
