/**
 * Makes the small images of the examples of jobs on the spot, without a registry: this machine's busybox, a link for
 * each of its commands, and the example's own scripts, the first of which is what the image runs. By hand:
 * `node image.mjs` makes them all, `node image.mjs --remove` removes them.
 */
import { execFileSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importImage, libraryFiles, removeAppImages, searchPaths } from '../app/image.mjs';

const EXAMPLES = join(dirname(fileURLToPath(import.meta.url)), '..');
const PREFIX = 'gantryd-example';
const TAG = 'latest';
const FOLDERS = ['/etc/', '/proc/', '/sys/', '/dev/'];

/** `scripts` are paths in examples; each is a command of its name in the image. `pages`: what its web server has. */
const IMAGES = [
  { name: 'randword', scripts: ['words/randword.sh'] },
  { name: 'upper', scripts: ['words/upper.sh'] },
  { name: 'reverse', scripts: ['words/reverse.sh'] },
  { name: 'report', scripts: ['report/collect.sh', 'report/check.sh', 'report/pack.sh'] },
  { name: 'hrefs', scripts: ['hrefs/hrefs.sh'] },
  { name: 'site', scripts: ['hrefs/site.sh'], pages: ['hrefs/index.html'] },
  { name: 'backup', scripts: ['backup/backup.sh'] },
  { name: 'shell', scripts: [] },
];

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));

async function main(words) {
  if (words.length === 0) for (const tag of await buildJobImages()) console.log(tag);
  else if (words.join() === '--remove') await removeJobImages();
  else throw new Error('usage: image.mjs [--remove]');
}

/** Makes `PREFIX/NAME:latest` of every image anew; answers the names. `docker`: address of the engine. */
export async function buildJobImages({ prefix = PREFIX, docker } = {}) {
  await removeJobImages({ prefix, docker });
  const shell = shellFiles();
  for (const image of IMAGES)
    await importImage({ ...described(image, shell), ...place(prefix, image, docker) });
  return tags(prefix);
}

/** Gone already is success. */
export async function removeJobImages({ prefix = PREFIX, docker } = {}) {
  await removeAppImages({ tags: tags(prefix), docker });
}

function tags(prefix) {
  return IMAGES.map(({ name }) => `${prefix}/${name}:${TAG}`);
}

function place(prefix, { name }, docker) {
  return { repo: `${prefix}/${name}`, tag: TAG, docker };
}

function described({ scripts, pages = [] }, shell) {
  const own = [
    ...scripts.map((path) => ({ at: `/bin/${commandOf(path)}`, from: join(EXAMPLES, path), mode: 0o755 })),
    ...pages.map((path) => ({ at: `/site/${basename(path)}`, from: join(EXAMPLES, path) })),
  ];
  const files = [...shell, ...own];
  const command = scripts[0] === undefined ? 'sh' : commandOf(scripts[0]);
  return { files, changes: [`ENV ${searchPaths(files).join(' ')}`, `CMD ${JSON.stringify([command])}`] };
}

function commandOf(script) {
  return basename(script, '.sh');
}

function shellFiles() {
  const program = findBusybox();
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).split('\n');
  return [
    ...FOLDERS.map((at) => ({ at, mode: 0o755 })),
    { at: '/tmp/', mode: 0o1777 },
    { at: '/etc/passwd', text: 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
    { at: '/etc/group', text: 'root:x:0:\nnogroup:x:65534:\n' },
    { at: '/bin/busybox', from: program, mode: 0o755 },
    ...libraryFiles(program),
    ...applets
      .filter((name) => name !== '' && name !== 'busybox')
      .map((name) => ({ at: `/bin/${name}`, link: 'busybox' })),
  ];
}

function findBusybox() {
  try {
    const found = execFileSync('/bin/sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
    return realpathSync(found);
  } catch (cause) {
    throw new Error("the images are made of this machine's busybox: apt-get install busybox-static", {
      cause,
    });
  }
}
