/** docs/config.md rendered from the schema: one table for each object of the project file. Pure. */
import { MAX_MS, type SchemaNode } from './schema.ts';

/** A project that shows most of what people need; a test holds it valid. */
export const EXAMPLE = `{
  "$schema": "./node_modules/gantryd/schema/gantryd.schema.json",
  "project": "shop",
  "components": [
    {
      "name": "web",
      "repo": "registry.example.com/shop/web",
      "tag": "v2",
      "instances": 2,
      "ports": [{ "external": 80, "container": 8080, "kind": "http" }],
      "readyChecks": [{ "kind": "http", "path": "/ready" }],
      "healthChecks": [{ "kind": "http", "path": "/health", "interval": 2000 }],
      "terminationSignals": [{ "kind": "exec", "command": ["/app/prepare-to-stop"] }],
      "requireComponentLinks": [{ "name": "store", "alias": "STORE" }],
      "environmentVariables": [{ "name": "LOG_LEVEL", "value": "info" }],
      "resources": { "memory": "512m", "cpus": 0.5 }
    },
    {
      "name": "store",
      "repo": "redis",
      "tag": "7",
      "defineComponentLinks": [{ "name": "store", "port": 6379 }],
      "readyChecks": [{ "kind": "tcp", "port": 6379 }],
      "bindings": [{ "external": "/srv/shop", "volume": "/data" }]
    }
  ]
}`;

/** Objects that look the same wherever they appear get one section. */
const SHARED: Readonly<Record<string, string>> = {
  steps: 'Step',
  environment: 'Variable',
  mounts: 'Mount',
  schedules: 'Schedule',
  job: 'Job',
  readyChecks: 'Check',
  healthChecks: 'Check',
  terminationChecks: 'Check',
  terminationSignals: 'Signal',
};

export interface Section {
  readonly title: string;
  readonly node: SchemaNode;
}

export function renderReference(root: SchemaNode): string {
  const sections = collect({ title: 'Project', node: root });
  return `${[INTRODUCTION, ...sections.map(renderSection), OVERRIDES].join('\n\n')}\n`;
}

const INTRODUCTION = `# The project file

<!-- Made from src/config/schema.ts by the build; change it there. -->

A project file is JSON (\`.json\`) or YAML (\`.yaml\`, \`.yml\`). All durations are milliseconds, \`${MAX_MS}\`
(24 days) at most. Fields that are not listed here are refused. \`gantry FILE check\` lists every problem with its
line and column. Editors complete and check the file when it names the schema: JSON in \`$schema\`, YAML in its first
line as \`# yaml-language-server: $schema=…\`.

\`\`\`json
${EXAMPLE}
\`\`\``;

const OVERRIDES = `## Overrides

\`--set PATH=VALUE\` changes a field for one command. The path counts from the component the command is about;
\`project\`, \`proxy.…\` and \`components.NAME.…\` count from the top. The value may contain \`=\`.

| override | effect |
|---|---|
| \`tag=v2\` | sets a field |
| \`volumesFrom=data\` | appends to a list of texts |
| \`command=["serve","--fast"]\` | replaces a list or an object by JSON |
| \`ports.8888=9000\` | the entry of \`ports\` whose \`external\` is 8888 (made when missing) gets \`container\` 9000 |
| \`healthChecks.web.timeout=500\` | a field of the check whose \`id\` (or else \`kind\`) is \`web\` |
| \`environmentVariables.LOG_LEVEL=debug\` | the variable, added when missing |
| \`labels.com.example.team=shop\` | a label; what follows \`labels.\` is its name |
| \`proxy.connectTimeout=1000\` | a field of the project |

Entries go by: \`external\` for ports and bindings, \`id\` for checks and signals, \`name\` for everything else. The short
form sets: \`container\` for ports, \`kind\` for checks and signals, \`volume\` for bindings, \`port\` for defined links,
\`alias\` for required links, \`value\` for variables, \`soft\` for limits.`;

/** The section, and one for each object that is in it. */
export function collect(section: Section): Section[] {
  const found = [section];
  for (const [field, node] of Object.entries(section.node.properties ?? {})) {
    const inner = objectIn(node);
    if (inner === undefined) continue;
    const nested = collect({ title: titleOf(field), node: inner });
    found.push(...nested.filter(({ title }) => !found.some((f) => f.title === title)));
  }
  return found;
}

function objectIn(node: SchemaNode): SchemaNode | undefined {
  if (node.properties !== undefined) return node;
  return node.items?.properties === undefined ? undefined : node.items;
}

function titleOf(field: string): string {
  return SHARED[field] ?? (field === 'components' ? 'Component' : `\`${field}\``);
}

/** A heading and the table of its fields. */
export function renderSection({ title, node }: Section): string {
  const rows = Object.entries(node.properties ?? {}).map(([field, child]) =>
    renderRow(field, child, node.required?.includes(field) ?? false),
  );
  return [`## ${title}`, '', '| field | type | default | description |', '|---|---|---|---|', ...rows].join(
    '\n',
  );
}

function renderRow(field: string, node: SchemaNode, required: boolean): string {
  const fallback = node.default === undefined ? '' : `\`${JSON.stringify(node.default)}\``;
  const cells = [
    `\`${field}\``,
    typeOf(field, node),
    required ? 'required' : fallback,
    node.description ?? '',
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function typeOf(field: string, node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ');
  const types = typeof node.type === 'string' ? [node.type] : (node.type ?? []);
  return types.map((type) => nameOf(type, field, node)).join(' or ');
}

function nameOf(type: string, field: string, node: SchemaNode): string {
  if (type === 'array') {
    return node.items?.properties === undefined ? 'list of texts' : `list of ${linkTo(titleOf(field))}`;
  }
  if (type === 'integer') return `whole number${rangeOf(node)}`;
  if (type !== 'object') return NAMES[type] ?? type;
  if (node.properties !== undefined) return linkTo(titleOf(field));
  return node.additionalProperties === true ? 'object' : 'object of texts';
}

const NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
};

function rangeOf({ minimum, maximum }: SchemaNode): string {
  if (maximum !== undefined && maximum !== MAX_MS) return ` ${minimum}–${maximum}`;
  return minimum === undefined || minimum === 0 ? '' : ` ≥ ${minimum}`;
}

function linkTo(title: string): string {
  return `[${title}](#${title.replaceAll('`', '').toLowerCase()})`;
}
