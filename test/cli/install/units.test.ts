/** What systemd is told must be read by it as it was meant, whatever the paths and settings are. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isOurs, projectOf, settingIn, unitFiles, withSettings } from '../../../src/cli/install/units.ts';

const PLAIN = { node: '/usr/bin/node', script: '/usr/lib/node_modules/gantryd/bin/gantryd.js' };

describe('a unit', () => {
  test('of the proxy is never stopped but with the host, and leaves its processes alone', () => {
    const text = unitNamed('gantryd-proxy.service');
    const run = `${PLAIN.node} ${PLAIN.script} proxy`;
    for (const line of [
      'Type=oneshot',
      'RemainAfterExit=yes',
      'RefuseManualStop=yes',
      'KillMode=process',
      `ExecStart=${run} start`,
      `ExecReload=${run} upgrade`,
      `ExecStop=${run} stop --within 10`,
      'After=network-online.target docker.service',
    ])
      assert.ok(text.includes(`\n${line}\n`), line);
  });

  test('of an agent is started again for ever, and takes nothing with it that it started', () => {
    const text = unitNamed('gantryd@.service');
    for (const line of [
      `ExecStart=${PLAIN.node} ${PLAIN.script} run %i`,
      'Restart=always',
      'StartLimitIntervalSec=0',
      'KillMode=process',
      'EnvironmentFile=-/etc/gantryd/gantryd.env',
      'EnvironmentFile=-/etc/gantryd/%i.env',
      'After=gantryd-proxy.service network-online.target docker.service',
    ])
      assert.ok(text.includes(`\n${line}\n`), line);
    assert.doesNotMatch(text, /^(Requires|BindsTo|PartOf)=/m, 'its end would be tied to another one');
  });

  test('carries our mark', () => {
    assert.ok(unitFiles(PLAIN).every(({ text }) => isOurs(text)));
    assert.equal(isOurs('[Unit]\n# Written by hand\n'), false);
  });

  test('names a program by any path', () => {
    const odd = { node: '/opt/my node/100%/$x', script: '/opt/a "b"\\c/$HOME/%n' };
    const line = /^ExecStart=(.*) proxy start$/m.exec(unitNamed('gantryd-proxy.service', odd))?.[1];
    // The program's own path has no variables in it; its arguments do.
    assert.equal(line, String.raw`"/opt/my node/100%%/$x" "/opt/a \"b\"\\c/$$HOME/%%n"`);
  });

  test('of an agent tells its project', () => {
    assert.equal(projectOf('gantryd@my-shop_2.x.service'), 'my-shop_2.x');
    for (const other of ['gantryd@.service', 'gantryd-proxy.service', 'gantryd@a/b.service', 'x@y.service'])
      assert.equal(projectOf(other), undefined, other);
  });
});

describe('the settings', () => {
  test('that are given are set, and every other line stays', () => {
    const before = '# mine\nGANTRYD_ETCD=http://old:2379\n\nGANTRYD_LABELS=rack=7\n';
    const after = withSettings(before, { GANTRYD_ETCD: 'http://new:2379', DOCKER_HOST: 'tcp://h:1' });
    assert.equal(
      after,
      '# mine\nGANTRYD_ETCD=http://new:2379\n\nGANTRYD_LABELS=rack=7\nDOCKER_HOST=tcp://h:1\n',
    );
    assert.equal(withSettings(after, { GANTRYD_ETCD: 'http://new:2379' }), after);
  });

  test('that are new begin with our mark', () => {
    assert.match(withSettings(undefined, { A: 'b' }), /^# Written by `gantryd install`.*\n#.*\nA=b\n$/);
  });

  test('are read as they were written', () => {
    const values = ['plain', '', 'with space', 'quo"te', 'a$b`c', 'back\\slash', "it's", 'x#y', 'a=b,c=d'];
    for (const value of values) assert.equal(settingIn(withSettings('', { V: value }), 'V'), value, value);
  });

  test('are read as systemd reads what an operator wrote', () => {
    assert.equal(settingIn("V='as it $is'", 'V'), 'as it $is');
    assert.equal(settingIn('V=first\n V=second \n#V=third\n', 'V'), 'second', 'the last one counts');
    assert.equal(settingIn('V=a\\ b', 'V'), 'a b');
    assert.equal(settingIn('OTHER_V=1', 'V'), undefined);
  });
});

function unitNamed(name: string, program = PLAIN): string {
  return unitFiles(program).find((file) => file.name === name)?.text ?? '';
}
