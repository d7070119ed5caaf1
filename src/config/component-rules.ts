/**
 * Rules a schema cannot say, within one component: fields that belong together or exclude each other.
 * Tolerant readers of the raw document, like rules.ts. Pure.
 */
import { isIP } from 'node:net';
import { type Entry, entriesOf, nameOf, repeats } from './entries.ts';
import { onlyPort } from './normalise.ts';
import { type Finding, isRecord, type Path, pointerOf } from './problems.ts';
import { parseBytes } from './quantities.ts';

const DOCKER_TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const VOLUME_NAME = /^[a-zA-Z0-9{][a-zA-Z0-9_.{}-]*$/;
const OWN_LABELS = 'io.gantryd.';
const MIN_MEMORY_BYTES = 6 * 1024 * 1024;

/** Which fields a check or signal of the kind may have besides those that all have. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  http: ['port', 'path'],
  https: ['port', 'path', 'verify'],
  tcp: ['port'],
  exec: ['command'],
  connection: [],
};
const KIND_FIELDS = ['port', 'path', 'verify', 'command'];

export function componentRules(component: Entry): Finding[] {
  return [
    ...imageRules(component),
    ...portRules(component),
    ...['readyChecks', 'healthChecks', 'terminationChecks', 'terminationSignals'].flatMap((field) =>
      entriesOf(component, field).flatMap((probe) => probeRules(component, field, probe)),
    ),
    ...linkRules(component),
    ...environmentRules(component),
    ...secretRules(component),
    ...bindingRules(component),
    ...limitRules(component),
    ...networkRules(component),
    ...planeRules(component),
    ...labelRules(component),
    ...commandRules(component),
    ...updateRules(component),
    ...spreadRules(component),
  ];
}

function imageRules({ path, item }: Entry): Finding[] {
  const found: Finding[] = [];
  if (typeof item.repo === 'string' && item.repo !== '') {
    const message = repoProblem(item.repo);
    if (message !== undefined) found.push({ path: [...path, 'repo'], message });
  }
  if (typeof item.tag === 'string' && item.tag !== '') {
    const message = tagProblem(item.tag);
    if (message !== undefined) found.push({ path: [...path, 'tag'], message });
  }
  return found;
}

function repoProblem(repo: string): string | undefined {
  if (/\s/.test(repo)) return 'must not contain blanks';
  const name = repo.slice(repo.lastIndexOf('/') + 1);
  const cut = repo.includes('@') ? repo.indexOf('@') : repo.length - name.length + name.indexOf(':');
  if (repo.includes('@') || name.includes(':')) {
    return `must be the image without its tag: write repo "${repo.slice(0, cut)}" and tag "${repo.slice(cut + 1)}"`;
  }
  return name === name.toLowerCase() ? undefined : 'must be in lower case: Docker knows no other image names';
}

function tagProblem(tag: string): string | undefined {
  if (DOCKER_TAG.test(tag) || DIGEST.test(tag)) return undefined;
  if (tag.startsWith('sha256:')) return 'must be `sha256:` and 64 hexadecimal digits';
  return 'must be a tag (letters, digits, `_`, `.`, `-`; 128 characters at most) or `sha256:…`';
}

function portRules(component: Entry): Finding[] {
  return entriesOf(component, 'ports').flatMap(({ path, item }) =>
    typeof item.address !== 'string' || item.address === '' || isIP(item.address) !== 0
      ? []
      : [
          {
            path: [...path, 'address'],
            message: 'must be an IP address of this host, as "127.0.0.1" or "::"',
          },
        ],
  );
}

function probeRules(component: Entry, list: string, { path, item }: Entry): Finding[] {
  const kind = String(item.kind);
  const allowed = Object.hasOwn(FIELDS, kind) ? FIELDS[kind] : undefined;
  if (allowed === undefined) return [];
  const found: Finding[] = [];
  if (kind === 'connection' && list !== 'terminationChecks') {
    found.push({
      path: [...path, 'kind'],
      message: '"connection" is for terminationChecks only: a new container has no connections',
    });
  }
  for (const field of KIND_FIELDS) {
    if (item[field] !== undefined && !allowed.includes(field)) {
      const kinds = Object.keys(FIELDS).filter((k) => FIELDS[k]?.includes(field));
      found.push({
        path: [...path, field],
        at: 'key',
        message: `does not belong to kind "${kind}", only to ${kinds.map((k) => `"${k}"`).join(', ')}`,
      });
    }
  }
  if (allowed.includes('port') && item.port === undefined && onlyPort(component.item.ports) === undefined) {
    const why = entriesOf(component, 'ports').length === 0 ? 'no `ports` to take it from' : 'several `ports`';
    found.push({
      path: [...path, 'port'],
      message: `is missing: kind "${kind}" needs the container port to ask (the component has ${why})`,
    });
  }
  if (kind === 'exec' && item.command === undefined) {
    found.push({
      path: [...path, 'command'],
      message: 'is missing: kind "exec" needs the program and its arguments',
    });
  }
  return found;
}

function linkRules(component: Entry): Finding[] {
  return repeats(
    entriesOf(component, 'requireComponentLinks'),
    'alias',
    (first, alias) =>
      `the variables ${alias.toUpperCase()}_CLINK… are those of ${pointerOf(first.path)} already`,
    (alias) => alias.toUpperCase(),
  );
}

function environmentRules(component: Entry): Finding[] {
  const variables = entriesOf(component, 'environmentVariables');
  return repeats(variables, 'name', (first) => `the variable is set at ${pointerOf(first.path)} already`);
}

function secretRules({ path, item }: Entry): Finding[] {
  if (!Array.isArray(item.secrets)) return [];
  const names: readonly unknown[] = item.secrets;
  return names.flatMap((name, index) => {
    const first = names.indexOf(name);
    if (typeof name !== 'string' || first === index) return [];
    const message = `the secret is named at ${pointerOf([...path, 'secrets', first])} already`;
    return [{ path: [...path, 'secrets', index], message }];
  });
}

function bindingRules(component: Entry): Finding[] {
  const bindings = entriesOf(component, 'bindings');
  const mounted = repeats(
    bindings,
    'volume',
    (first) => `something is mounted here by ${pointerOf(first.path)} already`,
    (volume) => volume.replace(/(?<=.)\/+$/, ''),
  );
  const external = bindings.flatMap(({ path, item }) => {
    if (typeof item.external !== 'string' || item.external === '') return [];
    if (item.external.startsWith('/') || VOLUME_NAME.test(item.external)) return [];
    return [
      {
        path: [...path, 'external'],
        message: 'must be an absolute path on this host or the name of a volume',
      },
    ];
  });
  return [...mounted, ...external];
}

function limitRules(component: Entry): Finding[] {
  const { path, item } = component;
  const found: Finding[] = entriesOf(component, 'ulimits').flatMap(({ path, item: { soft, hard } }) =>
    typeof soft === 'number' && typeof hard === 'number' && hard !== -1 && (hard < soft || soft === -1)
      ? [{ path: [...path, 'hard'], message: `must not be lower than the soft limit, ${soft}` }]
      : [],
  );
  found.push(
    ...repeats(
      entriesOf(component, 'ulimits'),
      'name',
      (first) => `the limit is set at ${pointerOf(first.path)} already`,
    ),
  );
  const memory = isRecord(item.resources) ? item.resources.memory : undefined;
  if (typeof memory === 'string') {
    const bytes = parseBytes(memory);
    const at: Path = [...path, 'resources', 'memory'];
    if (bytes !== undefined && bytes < MIN_MEMORY_BYTES) {
      found.push({
        path: at,
        message: `must be at least "6m" (${MIN_MEMORY_BYTES} bytes), as Docker demands`,
      });
    }
  }
  return found;
}

function planeRules(component: Entry): Finding[] {
  const { network } = component.item;
  return entriesOf(component, 'ports').flatMap(({ path, item: { kind, plane } }) => {
    const message = planeProblem(kind, plane, network);
    return message === undefined
      ? []
      : [{ path: [...path, plane === undefined ? 'kind' : 'plane'], message }];
  });
}

function planeProblem(kind: unknown, plane: unknown, network: unknown): string | undefined {
  if (kind === 'udp' && plane !== undefined && plane !== 'kernel')
    return 'must be "kernel" with the kind "udp"; leave it out';
  if (kind === 'http' && (plane === 'kernel' || plane === 'auto'))
    return `must be "userspace" with the kind "http": the kernel leads connections and reads no requests`;
  if (network !== 'host' || (kind !== 'udp' && plane !== 'kernel')) return undefined;
  return 'on the network "host" the container has no address of its own that the kernel could lead to';
}

function networkRules(component: Entry): Finding[] {
  const { path, item } = component;
  const ports = entriesOf(component, 'ports');
  if (item.network === 'none' && ports.length > 0) {
    return [
      { path: [...path, 'network'], message: '"none" cuts the container off; its `ports` lead nowhere' },
    ];
  }
  if (item.network !== 'host') return [];
  const found: Finding[] = ports.flatMap(({ path, item: { external, container } }) =>
    typeof external === 'number' && external === container
      ? [
          {
            path: [...path, 'container'],
            message: `on the network "host" the container cannot listen on ${container} itself: the proxy does`,
          },
        ]
      : [],
  );
  if (isMoreThanOne(item.instances)) {
    found.push({
      path: [...path, 'instances'],
      message: `must be 1 on the network "host": the containers of "${nameOf(component)}" would fight for their ports`,
    });
  }
  return found;
}

function labelRules({ path, item }: Entry): Finding[] {
  if (!isRecord(item.labels)) return [];
  return Object.keys(item.labels)
    .filter((label) => label.startsWith(OWN_LABELS))
    .map((label) => ({
      path: [...path, 'labels', label],
      at: 'key' as const,
      message: `labels beginning with \`${OWN_LABELS}\` are gantryd's own; choose another name`,
    }));
}

function commandRules({ path, item }: Entry): Finding[] {
  if (!Array.isArray(item.command)) return [];
  if (item.command.length === 0) {
    return [{ path: [...path, 'command'], message: "must not be empty; leave it out for the image's own" }];
  }
  if (item.command[0] !== '') return [];
  return [{ path: [...path, 'command', 0], message: 'must be the program to run, not an empty text' }];
}

/** On one host, or for a while: what a total of one is made of moves to another host start-first. */
function isMoreThanOne(instances: unknown): boolean {
  return isRecord(instances) || (typeof instances === 'number' && instances > 1);
}

function spreadRules({ path, item }: Entry): Finding[] {
  if (item.spread === undefined || isRecord(item.instances)) return [];
  const message = 'is about a total: write `instances`: {"total": …}, or leave it out';
  return [{ path: [...path, 'spread'], at: 'key', message }];
}

/** What must never run twice has one instance, and none of a second release beside it. */
function updateRules({ path, item }: Entry): Finding[] {
  if (!isRecord(item.update)) return [];
  const { order, canary } = item.update;
  const found: Finding[] = [];
  if (order === 'stop-first' && isMoreThanOne(item.instances)) {
    const message = 'must be 1: `update.order` "stop-first" is for what must never run twice';
    found.push({ path: [...path, 'instances'], message });
  }
  if (order === 'stop-first' && canary !== undefined) {
    const message = 'is not possible with `order` "stop-first": both releases would run';
    found.push({ path: [...path, 'update', 'canary'], at: 'key', message });
  }
  return found;
}
