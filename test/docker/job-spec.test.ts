import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Step } from '../../src/config/job.ts';
import { JOB_LABELS, JOB_LOG } from '../../src/docker/job-engine.ts';
import { identityOf, isOurs, jobIdentityOf } from '../../src/docker/listing.ts';
import { LABELS } from '../../src/docker/spec.ts';
import { jobSpecOf } from './steps.ts';

type Body = Record<string, unknown> & { readonly HostConfig: Record<string, unknown> };
type Raw = Record<string, unknown>;

const bodyOf = (...parts: Parameters<typeof jobSpecOf>) => jobSpecOf(...parts).body as Body;
const engine = (config: Raw, hostConfig: Raw = {}, networkingConfig: Raw = {}): Partial<Step> => ({
  engine: { config, hostConfig, networkingConfig },
});
const OURS = {
  [LABELS.project]: 'shop',
  [LABELS.host]: 'host-1',
  [LABELS.component]: '',
  [JOB_LABELS.run]: 'r1',
  [JOB_LABELS.attempt]: '1',
  [JOB_LABELS.step]: '0',
};

test('the least step: the image’s own command, fed once, logged locally, never restarted or removed by the engine', () => {
  assert.deepEqual(jobSpecOf(), {
    name: 'shop-r1-s0-a1-k3f9',
    labels: OURS,
    hash: jobSpecOf().hash,
    body: {
      Image: 'sha256:aa',
      Env: [],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
      Labels: OURS,
      HostConfig: { Binds: [], LogConfig: JOB_LOG, RestartPolicy: { Name: 'no' }, AutoRemove: false },
    },
    networks: [],
    endpoints: {},
  });
});

test('all that a step may say arrives', () => {
  const body = bodyOf(
    {
      entrypoint: ['/run'],
      command: ['a', 'b c'],
      user: '7:8',
      networks: ['front', 'back'],
      mounts: [
        { source: '/data', target: '/in', readOnly: true },
        { source: 'cache', target: '/cache', readOnly: false },
      ],
      memoryBytes: 1024,
      cpus: 0.1,
      cpuShares: 512,
    },
    { binds: ['/run/gantryd/x:/run/secrets/x:ro'], environment: [{ name: 'A', value: '1=2' }] },
  );
  const { HostConfig, ...config } = body;
  assert.deepEqual([config.Entrypoint, config.Cmd, config.User], [['/run'], ['a', 'b c'], '7:8']);
  assert.deepEqual(config.Env, ['A=1=2']);
  assert.deepEqual(HostConfig.Binds, ['/data:/in:ro', 'cache:/cache', '/run/gantryd/x:/run/secrets/x:ro']);
  assert.deepEqual([HostConfig.Memory, HostConfig.NanoCpus, HostConfig.CpuShares], [1024, 100_000_000, 512]);
  assert.equal(HostConfig.NetworkMode, 'front');
  assert.deepEqual(jobSpecOf({ networks: ['front', 'back'] }).networks, ['back']);
});

test('environment: later ones win in the place of the first; those of a create body come first', () => {
  const environment = [
    { name: 'A', value: 'job' },
    { name: 'B', value: 'b' },
    { name: 'A', value: 'step' },
  ];
  const body = bodyOf(engine({ Env: ['RAW=1', 'B=raw', 'GONE', 7] }), { environment });
  assert.deepEqual(body.Env, ['RAW=1', 'B=b', 'GONE', 'A=step']);
});

test('a create body lies below what gantryd decides, in any spelling, and is kept otherwise', () => {
  const config = {
    Hostname: 'h',
    WorkingDir: '/w',
    Image: 'other',
    Cmd: ['raw'],
    tty: true,
    OpenStdin: false,
  };
  const hostConfig = { Privileged: true, autoremove: true, RestartPolicy: { Name: 'always' }, LogConfig: {} };
  const { HostConfig, ...body } = bodyOf(engine({ ...config, User: 'raw' }, hostConfig));
  assert.deepEqual([body.Hostname, body.WorkingDir, body.Cmd, body.User], ['h', '/w', ['raw'], 'raw']);
  assert.deepEqual([body.Image, body.Tty, body.OpenStdin, body.tty], ['sha256:aa', false, true, undefined]);
  assert.equal(HostConfig.Privileged, true);
  assert.deepEqual([HostConfig.AutoRemove, HostConfig.autoremove], [false, undefined]);
  assert.deepEqual([HostConfig.RestartPolicy, HostConfig.LogConfig], [{ Name: 'no' }, JOB_LOG]);
  const said = bodyOf({ ...engine({ Cmd: ['raw'], User: 'raw' }), command: ['own'], user: 'own' });
  assert.deepEqual([said.Cmd, said.User], [['own'], 'own']);
});

test('labels of a create body are kept, but none that is gantryd’s', () => {
  const raw = { team: 'a', n: 1, [LABELS.component]: 'web', [LABELS.release]: '1', [LABELS.spec]: 'x' };
  const { labels, body } = jobSpecOf(engine({ Labels: raw }));
  assert.deepEqual(labels, { team: 'a', n: '1', ...OURS });
  assert.deepEqual(body.Labels, labels);
  assert.equal(isOurs(labels), true);
  const ofImage: Readonly<Record<string, string>> = { ...raw, n: '1' };
  const onSuchAnImage = { ...ofImage, ...labels }; // as Docker merges them
  assert.deepEqual([identityOf(onSuchAnImage), jobIdentityOf(onSuchAnImage)?.run], [undefined, 'r1']);
});

test('binds and mounts of a create body are kept where the step puts nothing else', () => {
  const Mounts = [{ Target: '/in' }, { Target: '/tmp', Type: 'tmpfs' }];
  const mounts = [{ source: '/mine', target: '/in', readOnly: false }];
  const { HostConfig } = bodyOf({ ...engine({}, { Binds: ['/a:/b:ro', '/x:/in'], Mounts }), mounts });
  assert.deepEqual(HostConfig.Binds, ['/a:/b:ro', '/mine:/in']);
  assert.deepEqual(HostConfig.Mounts, [{ Target: '/tmp', Type: 'tmpfs' }]);
});

test('networks: the first one at creation, with what is said of it; the others are joined', () => {
  const EndpointsConfig = { back: { Aliases: ['b'] }, side: { Aliases: ['s'] } };
  const raw = engine({}, { NetworkMode: 'front' }, { EndpointsConfig });
  const spec = jobSpecOf(raw);
  assert.equal((spec.body as Body).HostConfig.NetworkMode, 'front');
  assert.equal(spec.body.NetworkingConfig, undefined);
  assert.deepEqual([spec.networks, spec.endpoints], [['back', 'side'], EndpointsConfig]);
  const own = jobSpecOf({ ...raw, networks: ['side'] });
  assert.equal((own.body as Body).HostConfig.NetworkMode, 'side');
  assert.deepEqual(own.body.NetworkingConfig, { EndpointsConfig: { side: { Aliases: ['s'] } } });
  assert.deepEqual(own.networks, ['back']);
  const unsaid = jobSpecOf(engine({}, { NetworkMode: 'default' }, { EndpointsConfig }));
  assert.equal((unsaid.body as Body).HostConfig.NetworkMode, 'back');
});

test('names are what Docker and other containers take, whatever the run is called', () => {
  assert.equal(jobSpecOf({}, { run: 'nightly/2026 ü' }).name, 'shop-nightly-2026--s0-a1-k3f9');
  const long = jobSpecOf({}, { run: 'x'.repeat(200), index: 12, attempt: 3 }).name;
  assert.equal(long.length, 63);
  assert.match(long, /^shop-x+-s12-a3-k3f9$/);
});

test('the hash tells how it runs, not which one it is; the spec is the same each time and frozen', () => {
  const first = jobSpecOf({ command: ['a'] });
  assert.deepEqual(jobSpecOf({ command: ['a'] }), first);
  assert.equal(jobSpecOf({ command: ['a'] }, { run: 'r2', attempt: 2, suffix: 'zzzz' }).hash, first.hash);
  assert.notEqual(jobSpecOf({ command: ['b'] }).hash, first.hash);
  assert.ok(Object.isFrozen(first.body) && Object.isFrozen((first.body as Body).HostConfig));
});
