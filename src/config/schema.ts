/**
 * The project file as data: every field with its type, default and description. The TypeScript
 * types, the validator, the published JSON Schema and docs/config.md are all made from this value.
 * Rules that a schema cannot say (duplicate ports, unknown links) are in rules.ts.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { NAME } from './name.ts';

export { NAME } from './name.ts';

export const MEMORY = '^[1-9][0-9]*[bkmgBKMG]?$';
/** Where a total is spread by: a label of the hosts. */
export const SPREAD = '^label\\.[^\\s=]+$';
/** The most containers of a component that anybody may ask for, on a host or in all. */
export const MAX_INSTANCES = 1000;
/** What `notify` may be for. */
export const OCCASIONS = ['failed-deploy', 'rollback', 'mass-failure', 'long-drain', 'failed-run'] as const;
/** Without a user and password: they would be told wherever the config is. */
export const WEB_ADDRESS = '^https?://[^\\s/@?#]+([/?][^\\s#]*)?$';
/** Node's timers know no longer time; past it they fire at once, which would cut a drain short. */
export const MAX_MS = 2_147_483_647;
/** The same where seconds are counted. */
export const MAX_SECONDS = 2_147_483;
const durationMs = <const M extends number, const D extends number>(
  minimum: M,
  fallback: D,
  description: string,
) => ({ type: 'integer', minimum, maximum: MAX_MS, default: fallback, description }) as const;
const port = (description: string) => ({ type: 'integer', minimum: 1, maximum: 65535, description }) as const;
const routeKind = {
  type: 'string',
  enum: ['tcp', 'http'],
  default: 'tcp',
  description:
    'How the proxy treats the traffic: `http` routes request by request (keep-alive clients move to the new container with their next request), `tcp` connection by connection.',
} as const;

const portKind = {
  ...routeKind,
  enum: ['tcp', 'http', 'udp'],
  description: `${routeKind.description} \`udp\`: led by the kernel, which no process of gantryd could do as well.`,
} as const;

const check = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: {
      type: 'string',
      enum: ['http', 'https', 'tcp', 'exec', 'connection'],
      description:
        '`http`, `https`: GET, passes on 2xx, redirects are not followed. `tcp`: connects. `exec`: runs a command in the container, passes on exit code 0. `connection`: passes when the proxy holds no connection to the container (termination checks).',
    },
    id: { type: 'string', description: 'Title shown in messages. Default: the kind.' },
    port: port(
      'Container port to ask (http, https, tcp). Default: the container port of `ports`, when they name only one.',
    ),
    path: { type: 'string', pattern: '^/', default: '/', description: 'Path to GET (http, https).' },
    verify: { type: 'boolean', default: false, description: 'https only: verify the certificate.' },
    command: {
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
      description: 'exec only: the program and its arguments.',
    },
    interval: {
      type: 'integer',
      minimum: 10,
      maximum: MAX_MS,
      description:
        'Time between two probes. Default 5000 for health and termination checks, 250 for ready checks.',
    },
    timeout: durationMs(20, 2000, 'How long one probe may take.'),
    fall: {
      type: 'integer',
      minimum: 1,
      default: 3,
      description: 'Failures in a row that make the container unhealthy.',
    },
    rise: {
      type: 'integer',
      minimum: 1,
      default: 1,
      description: 'Passes in a row that make it healthy (ready).',
    },
  },
} as const;

const signal = {
  type: 'object',
  additionalProperties: false,
  required: ['kind'],
  properties: {
    kind: {
      type: 'string',
      enum: ['http', 'https', 'exec'],
      description: '`http`, `https`: POST with an empty body. `exec`: runs a command in the container.',
    },
    id: { type: 'string', description: 'Title shown in messages. Default: the kind.' },
    port: port(
      'Container port to POST to (http, https). Default: the container port of `ports`, when they name only one.',
    ),
    path: { type: 'string', pattern: '^/', default: '/', description: 'Path to POST to (http, https).' },
    verify: { type: 'boolean', default: false, description: 'https only: verify the certificate.' },
    command: {
      type: 'array',
      items: { type: 'string' },
      minItems: 1,
      description: 'exec only: the program and its arguments.',
    },
    timeout: durationMs(20, 2000, 'How long the signal may take.'),
  },
} as const;

const component = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'repo'],
  properties: {
    name: { type: 'string', pattern: NAME, description: 'Name of the component, unique in the project.' },
    repo: { type: 'string', minLength: 1, description: 'Image without its tag.' },
    tag: {
      type: 'string',
      minLength: 1,
      default: 'latest',
      description: 'Tag of the image, or `sha256:…` to pin a digest.',
    },
    user: { type: 'string', description: "User to run as. Default: the image's." },
    command: {
      type: 'array',
      items: { type: 'string' },
      description: "Program and arguments. Default: the image's.",
    },
    ports: {
      type: 'array',
      default: [],
      description: 'Ports of this host that the proxy forwards to the component.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['external', 'container'],
        properties: {
          external: port('Port of this host.'),
          container: port('Port of the container.'),
          kind: portKind,
          plane: {
            type: 'string',
            enum: ['userspace', 'kernel', 'auto'],
            description:
              'Who carries the bytes. `userspace`: the proxy, with all that it can do. `kernel`: nftables leads each new connection to a container, at the speed of the kernel and also while the proxy is away; not with `http`, and a host that cannot refuses the release. `auto`: `kernel` where the host can, `userspace` otherwise. Default: `userspace`; with `udp`: `kernel`.',
          },
          address: {
            type: 'string',
            minLength: 1,
            default: '0.0.0.0',
            description: 'IP address of this host to listen on; `::` for IPv6 and IPv4.',
          },
        },
      },
    },
    readyChecks: {
      type: 'array',
      items: check,
      default: [],
      description: 'All must pass before a new container gets traffic.',
    },
    healthChecks: {
      type: 'array',
      items: check,
      default: [],
      description:
        'Asked for as long as the container serves and gantryd stays with it (`-m`); one that falls makes it unhealthy, and it is replaced. So does Docker, by the `HEALTHCHECK` of its image.',
    },
    readyTimeout: durationMs(1, 10000, 'How long a new container may take to become ready.'),
    terminationSignals: {
      type: 'array',
      items: signal,
      default: [],
      description: 'Sent once to a container when its drain begins.',
    },
    terminationChecks: {
      type: 'array',
      items: check,
      default: [{ kind: 'connection' }],
      description: 'All must pass before a draining container is stopped.',
    },
    drainTimeout: durationMs(
      0,
      0,
      'Bounds the drain; connections still open then are cut and counted in the message. 0: no bound, a container lives until its last connection closes.',
    ),
    idleTimeout: durationMs(
      0,
      0,
      'Ends connections to a container that is being replaced once no byte has moved on them for so long. 0: a quiet connection stays.',
    ),
    closeSpread: durationMs(
      0,
      0,
      'Asks the clients that stay with a container that is being replaced to leave, one after the other over so long: WebSockets are closed with code 1012, event streams end after an event. 0: nobody is asked.',
    ),
    holdTimeout: durationMs(
      0,
      0,
      'How long new requests and connections wait in the proxy while no container can take them, instead of being refused; at most 1000 at a time, then 503. 0: they are refused at once.',
    ),
    slowStart: durationMs(
      0,
      0,
      'A container that joins others that serve gets little of the new work at first and its full share after so long, growing evenly: for what is slow while it is cold, as a JVM. After an update, which switches all at once, all are equal. 0: its full share at once.',
    ),
    stopTimeout: durationMs(
      0,
      10000,
      'Time between SIGTERM and SIGKILL when a drained container is stopped.',
    ),
    healthPolicy: {
      type: 'string',
      enum: ['replace', 'unroute', 'report'],
      default: 'replace',
      description:
        'What is done about a container that runs and is unhealthy: `replace` brings up another one first, `unroute` sends it no traffic until it is well again (unless it is the last one), `report` only tells. One that died is always replaced.',
    },
    instances: {
      type: ['integer', 'object'],
      minimum: 1,
      maximum: 100,
      default: 1,
      additionalProperties: false,
      required: ['total'],
      properties: {
        total: {
          type: 'integer',
          minimum: 1,
          maximum: MAX_INSTANCES,
          description: 'Containers on all hosts that run the component.',
        },
      },
      description:
        'Containers on each host; the proxy spreads the work over them. Or `{"total": 6}`: so many in all, spread evenly over the hosts that run the component; `gantry`, which knows one host only, runs them all there.',
    },
    spread: {
      type: 'string',
      pattern: SPREAD,
      description:
        'Evens a total out over the values of a label of the hosts first, as `label.zone`, then over the hosts of each. Default: over the hosts alone.',
    },
    hostLossTimeout: durationMs(
      0,
      30000,
      'How long the agent of a host may not be heard of before the share that the host has of a total moves to the others. It is noticed after 15 s at the latest.',
    ),
    update: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description:
        'How a new release comes into service. What concerns several hosts is ignored by `gantry`, which knows one only.',
      properties: {
        order: {
          type: 'string',
          enum: ['start-first', 'stop-first'],
          default: 'start-first',
          description:
            '`start-first`: the old container serves until the new one is ready. `stop-first`: for what must never run twice, the old one drains and ends before the new one starts; `holdTimeout` lets clients wait meanwhile.',
        },
        canary: {
          type: 'object',
          additionalProperties: false,
          description:
            'First only a share of the new requests goes to the new release; it is promoted, or given up, by how it compares with the old one. In a fleet the first host does this for all. It is left out where nothing serves yet, and where the new release does not take all that comes in by the ports of the old one. Default: none.',
          properties: {
            percent: {
              type: 'integer',
              minimum: 1,
              maximum: 99,
              description:
                'Share of new requests and connections. Default: 10, or what `instances` make of all.',
            },
            instances: {
              type: 'integer',
              minimum: 1,
              maximum: 100,
              description:
                'Containers of the new release meanwhile. Default: as many as the share of all calls for.',
            },
            minutes: {
              type: 'number',
              exclusiveMinimum: 0,
              maximum: 10080,
              default: 5,
              description: 'How long they are compared; fractions are fine.',
            },
            maxErrorRate: {
              type: 'number',
              minimum: 0,
              maximum: 1,
              default: 0.01,
              description:
                'Share of requests answered with a 5xx status, or not at all, above which the new release is given up, unless the old one has as many. Counts from 20 requests on.',
            },
            maxLatencyRatio: {
              type: 'number',
              minimum: 1,
              description:
                "How many times the old release's 99th percentile of the time to the first byte the new one's may be. Counts from 100 answers of each on, and from 5 ms of difference. Default: it is not compared.",
            },
          },
        },
        maxParallel: {
          type: 'integer',
          minimum: 1,
          default: 1,
          description: 'Hosts that may have their turn at once.',
        },
        onFailure: {
          type: 'string',
          enum: ['rollback', 'pause'],
          default: 'rollback',
          description:
            'What the first host that fails decides for all: `rollback` takes every host back to the release before, `pause` leaves each as it is until somebody decides.',
        },
        monitor: durationMs(
          0,
          10000,
          'How long a host watches the new release after the switch, before the next host has its turn.',
        ),
        keepOld: durationMs(
          0,
          600000,
          'How long the containers that were replaced stay running, without traffic, so that a rollback is only a switch of the proxy.',
        ),
      },
    },
    bindings: {
      type: 'array',
      default: [],
      description: 'Folders of this host mounted into the container.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['external', 'volume'],
        properties: {
          external: {
            type: 'string',
            minLength: 1,
            description:
              'Absolute path on this host, or the name of a volume. `{container_id}` is replaced by the name of the container, which is unique.',
          },
          volume: { type: 'string', pattern: '^/', description: 'Absolute path in the container.' },
          readOnly: { type: 'boolean', default: false, description: 'Mount it read-only.' },
        },
      },
    },
    volumesFrom: {
      type: 'array',
      items: { type: 'string', minLength: 1 },
      default: [],
      description: 'Names of containers whose volumes are mounted; gantryd need not manage them.',
    },
    defineComponentLinks: {
      type: 'array',
      default: [],
      description: 'Ports offered to the other components of the project on this host, through the proxy.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'port'],
        properties: {
          name: { type: 'string', pattern: NAME, description: 'Name of the link, unique in the project.' },
          port: port('Port of the container.'),
          kind: routeKind,
        },
      },
    },
    requireComponentLinks: {
      type: 'array',
      default: [],
      description:
        'Links of other components that this one needs; their address comes as `{ALIAS}_CLINK…` environment variables and survives updates of the exporter.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'alias'],
        properties: {
          name: { type: 'string', pattern: NAME, description: 'Name of the link.' },
          alias: {
            type: 'string',
            pattern: '^[a-zA-Z_][a-zA-Z0-9_]*$',
            description: 'Prefix of the environment variables, upper-cased.',
          },
        },
      },
    },
    environmentVariables: {
      type: 'array',
      default: [],
      description: 'Environment of the container. Link variables win over these.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'value'],
        properties: {
          name: { type: 'string', pattern: '^[^=\\u0000]+$', description: 'Name of the variable.' },
          value: { type: 'string', description: 'Its value.' },
        },
      },
    },
    secrets: {
      type: 'array',
      items: { type: 'string', pattern: NAME },
      default: [],
      description:
        'Names of secrets; the container finds the value of each in the file `/run/secrets/NAME`, which only its user can read. They are set with `gantryd secret set`, or `gantry secret set` on one host.',
    },
    privileged: { type: 'boolean', default: false, description: 'Run with all rights of the host.' },
    resources: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description: 'What the container may use.',
      properties: {
        memory: {
          type: ['integer', 'string'],
          minimum: 6291456,
          pattern: MEMORY,
          description:
            'Bytes, or a number with `k`, `m` or `g` (powers of 1024). At least 6m, as Docker demands.',
        },
        cpus: { type: 'number', exclusiveMinimum: 0, description: 'Number of CPUs, as `0.5`.' },
      },
    },
    network: {
      type: 'string',
      minLength: 1,
      description: "Docker network to join: a name, or `host`. Default: the engine's bridge.",
    },
    hostname: { type: 'string', minLength: 1, description: 'Host name inside the container.' },
    extraHosts: {
      type: 'array',
      items: { type: 'string', pattern: '^[^:]+:.+$' },
      default: [],
      description: "Lines for the container's hosts file, each `name:address`.",
    },
    labels: {
      type: 'object',
      additionalProperties: { type: 'string' },
      default: {},
      description: "Labels of the container. Those starting with `io.gantryd.` are gantryd's own.",
    },
    logging: {
      type: 'object',
      additionalProperties: false,
      required: ['driver'],
      description: "Docker log driver. Default: the engine's.",
      properties: {
        driver: { type: 'string', minLength: 1, description: 'Name of the driver, as `json-file`.' },
        options: {
          type: 'object',
          additionalProperties: { type: 'string' },
          default: {},
          description: 'Options of the driver.',
        },
      },
    },
    readOnly: {
      type: 'boolean',
      default: false,
      description: "Mount the container's root file system read-only.",
    },
    capAdd: { type: 'array', items: { type: 'string' }, default: [], description: 'Capabilities to add.' },
    capDrop: { type: 'array', items: { type: 'string' }, default: [], description: 'Capabilities to drop.' },
    ulimits: {
      type: 'array',
      default: [],
      description: 'Resource limits of the processes.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'soft'],
        properties: {
          name: { type: 'string', minLength: 1, description: 'Name of the limit, as `nofile`.' },
          soft: { type: 'integer', description: 'Soft limit.' },
          hard: { type: 'integer', description: 'Hard limit. Default: the soft one.' },
        },
      },
    },
    registryAuth: {
      type: 'string',
      minLength: 1,
      description:
        "Docker config file with the registry's credentials; a relative path counts from the project file's folder. Default: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.",
    },
  },
} as const;

const notify = {
  type: 'object',
  additionalProperties: false,
  required: ['url'],
  properties: {
    url: {
      type: 'string',
      pattern: WEB_ADDRESS,
      description: 'Where to: `http` or `https`. Redirects are not followed.',
    },
    on: {
      type: 'array',
      items: { type: 'string', enum: OCCASIONS },
      minItems: 1,
      default: OCCASIONS,
      description:
        '`failed-deploy`: a release failed, and all hosts go back or its rollout is paused. `rollback`: all hosts are back at a release before. `mass-failure`: more than half of the containers of a component failed together on a host. `long-drain`: a container drains for longer than `drainLongerThan`. `failed-run`: a run of a job failed or was lost.',
    },
    secret: {
      type: 'string',
      pattern: NAME,
      description:
        'Secret of the project (`gantryd secret set`) that the body is signed with: `X-Gantryd-Signature` is `sha256=` and the HMAC in hex. Default: it is not signed.',
    },
    drainLongerThan: durationMs(1000, 600_000, 'What a long drain is.'),
  },
} as const;

export const PROJECT_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'gantryd project file',
  type: 'object',
  additionalProperties: false,
  required: ['components'],
  properties: {
    $schema: { type: 'string', description: 'For editors: where this schema is.' },
    project: {
      type: 'string',
      pattern: NAME,
      description:
        "Name of the project; with the component's name it says whose containers are whose on a host. Default: the file's name without its extension, or its folder's name when the file is called gantry, gantryd, config or project.",
    },
    components: {
      type: 'array',
      items: component,
      minItems: 1,
      description: 'What the project consists of.',
    },
    proxy: {
      type: 'object',
      additionalProperties: false,
      default: {},
      description:
        'Limits of the proxy for this project. 0 switches one off. None of them ends an upload or a stream under way.',
      properties: {
        connectTimeout: durationMs(0, 5000, 'How long connecting to a container may take.'),
        headersTimeout: durationMs(0, 60000, 'How long a client may take to send the headers of a request.'),
        keepAliveTimeout: durationMs(0, 75000, "How long a client's connection may stay without a request."),
        maxConnections: {
          type: 'integer',
          minimum: 0,
          default: 0,
          description: 'Client connections open at a time per port; further ones are closed at once.',
        },
        workers: {
          type: ['integer', 'string'],
          minimum: 1,
          maximum: 64,
          pattern: '^auto$',
          default: 1,
          description:
            'Processes that carry the clients of a host, for when one core is not enough; `auto`: one for each core. A host has one proxy for all projects: the most that one of them asks for counts. Taken over with the next change of a route.',
        },
      },
    },
    notify: {
      type: 'array',
      default: [],
      description:
        'Who is told when something goes wrong, by a POST of JSON. In a fleet only: see events.md.',
      items: notify,
    },
  },
} as const;

/** A project file as it is written, once it has passed the schema. */
export type RawProject = FromSchema<typeof PROJECT_SCHEMA, { keepDefaultedPropertiesOptional: true }>;

/** The same with the schema's defaults filled in. */
export type FilledProject = FromSchema<typeof PROJECT_SCHEMA>;
export type FilledComponent = FilledProject['components'][number];

/** The part of JSON Schema that PROJECT_SCHEMA uses, for code that walks it. */
export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
}

export const ROOT: SchemaNode = PROJECT_SCHEMA;
