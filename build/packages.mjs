/**
 * `node build/packages.mjs`, the last step of the build: makes one file of each package that takes long to load,
 * without what gantryd does not use of it, and beside it what V8 makes of it when it is loaded. src/packages.ts loads
 * what is made here.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { compiled, compiledFile, runScript } from '../dist/src/packages.js';
import { keepYoungHeapSmall } from '../dist/src/young-heap.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(dirname(HERE), 'dist', 'packages');
const require = createRequire(import.meta.url);

/** A port that is reserved, and nobody listens on. */
const NOBODY = 'http://127.0.0.1:1';

/** What stands in a package for what is not needed of it. */
const NOTHING = join(HERE, 'nothing.cjs');
/**
 * `exports`: as src expects them. `instead`: modules of the package, and what is taken in their place. `use`: calls
 * what nearly every command calls, which is compiled with it.
 */
const PACKAGES = {
  yargs: { exports: `require('yargs/yargs')`, use: parseWords },
  etcd3: {
    exports: `{
      Etcd3: require('etcd3').Etcd3,
      InterceptingCall: require('@grpc/grpc-js').InterceptingCall,
      noop: require('cockatiel').noop,
    }`,
    instead: { '@grpc/proto-loader': join(HERE, 'etcd-services.cjs') },
    use: askNobody,
  },
  dockerode: {
    exports: `require('dockerode')`,
    // BuildKit (gRPC), SSH, and what packs the context of a build: most of its loading time.
    instead: {
      'dockerode/lib/session': NOTHING,
      'dockerode/lib/buildkit': NOTHING,
      'docker-modem/lib/ssh': NOTHING,
      'tar-fs': NOTHING,
      '@balena/dockerignore': NOTHING,
    },
  },
};

rmSync(OUT, { recursive: true, force: true });
await Promise.all(Object.entries(PACKAGES).map(([name, made]) => bundle(join(OUT, `${name}.cjs`), made)));
await keepAllCompiled();
keepYoungHeapSmall(); // V8 takes what it made only under the flags it made it under, and these are those of agents
await keepAllCompiled();

async function keepAllCompiled() {
  for (const [name, { use }] of Object.entries(PACKAGES)) await keepCompiled(join(OUT, `${name}.cjs`), use);
}

function bundle(outfile, { exports, instead = {} }) {
  return build({
    stdin: { contents: `module.exports = ${exports};`, resolveDir: HERE },
    absWorkingDir: dirname(HERE),
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'warning',
    plugins: [etcdProtocol(), taking(instead)],
  });
}

/** With the functions that loading and using it has called; V8 compiles the others when they are called. */
async function keepCompiled(file, use = () => {}) {
  const script = compiled(file);
  await use(runScript(script, file));
  writeFileSync(compiledFile(file), script.createCachedData());
}

function parseWords(yargs) {
  const options = { json: { type: 'boolean', describe: 'as JSON' }, etcd: { type: 'string' } };
  const words = yargs(['list', 'shop', '--json']).options(options);
  return words
    .command('list <project>', 'lists', {}, () => {})
    .strict()
    .parseAsync();
}

/** The call fails, and has gone most of its way then. */
async function askNobody({ Etcd3 }) {
  const etcd = new Etcd3({ hosts: NOBODY });
  const written = etcd.if('key', 'Create', '==', 0).then(etcd.put('key').value('value')).commit();
  await Promise.allSettled([etcd.get('key').string(), written]);
  etcd.close();
}

/** Throws unless each is met: a package that is laid out otherwise is not to be loaded whole in silence. */
function taking(instead) {
  const places = new Map(Object.entries(instead).map(([id, file]) => [require.resolve(id), file]));
  const missed = new Set(places.keys());
  return {
    name: 'taking',
    setup({ onResolve, onEnd, resolve }) {
      onResolve({ filter: /./ }, async ({ path, pluginData, ...from }) => {
        if (pluginData === places) return undefined; // asked by the next line
        const found = await resolve(path, { ...from, pluginData: places });
        const file = places.get(found.path);
        if (file === undefined) return undefined;
        missed.delete(found.path);
        return { path: file };
      });
      onEnd(() => {
        if (missed.size > 0) throw new Error(`nothing loads ${[...missed].join(', ')} any more`);
      });
    },
  };
}

/** What etcd-services.cjs asks for. */
function etcdProtocol() {
  return {
    name: 'etcd-protocol',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^etcd-protocol$/ }, ({ path }) => ({ path, namespace: 'made' }));
      onLoad({ filter: /./, namespace: 'made' }, () => ({ contents: parsedProtocol(), loader: 'json' }));
    },
  };
}

function parsedProtocol() {
  const { Root } = require('protobufjs');
  const file = join(dirname(require.resolve('etcd3/package.json')), 'proto', 'rpc.proto');
  return JSON.stringify(new Root().loadSync(file, { keepCase: true }).toJSON());
}
