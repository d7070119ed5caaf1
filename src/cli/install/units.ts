/**
 * What systemd is told of gantryd: the text of its units, and the settings that their environment comes from. Pure.
 * Why the proxy is not watched by systemd, and ends with nothing but the host, is in docs/decisions/0012.
 */

/** What the units start, by absolute paths. */
export interface Program {
  readonly node: string;
  /** bin/gantryd.js. */
  readonly script: string;
}

export interface UnitFile {
  readonly name: string;
  readonly text: string;
}

export const UNIT_FOLDER = '/etc/systemd/system';
/** Of all units of the host; settings of one project alone are in `PROJECT.env` beside it. */
export const SETTINGS = '/etc/gantryd/gantryd.env';
export const PROXY_UNIT = 'gantryd-proxy.service';
export const AGENT_UNIT = 'gantryd@.service';

/** The first line of every file that install writes, and the sign that it may be written and removed again. */
const MARK = '# Written by `gantryd install`';
/** Linux grants no process more by default (fs.nr_open). */
const OPEN_FILES = 1_048_576;

const AGENT_NAME = /^gantryd@([a-zA-Z0-9][a-zA-Z0-9_.-]{0,62})\.service$/;

export function unitFiles(program: Program): readonly UnitFile[] {
  return [
    { name: PROXY_UNIT, text: proxyUnit(program) },
    { name: AGENT_UNIT, text: agentUnit(program) },
  ];
}

/** The unit of a project's agent. */
export function agentOf(project: string): string {
  return `gantryd@${project}.service`;
}

/** The project whose agent a unit is; undefined for any other unit. */
export function projectOf(unit: string): string | undefined {
  return AGENT_NAME.exec(unit)?.[1];
}

export function isOurs(text: string): boolean {
  return text.startsWith(MARK);
}

/** The text of the settings with these set, each in its line; all other lines are the operator's and stay. */
export function withSettings(text: string | undefined, settings: Readonly<Record<string, string>>): string {
  const lines = (text ?? settingsHeader()).replace(/\n$/, '').split('\n');
  for (const [name, value] of Object.entries(settings)) {
    const line = `${name}=${quotedSetting(value)}`;
    const at = lines.findLastIndex((each) => nameIn(each) === name);
    if (at === -1) lines.push(line);
    else lines[at] = line;
  }
  return `${lines.join('\n')}\n`;
}

/** What systemd would take a setting to be; undefined where it is not set. */
export function settingIn(text: string, name: string): string | undefined {
  const line = text.split('\n').findLast((each) => nameIn(each) === name);
  const value = line?.slice(line.indexOf('=') + 1).trim();
  if (value === undefined) return undefined;
  const [, quote, inner = ''] = /^(["'])(.*)\1$/.exec(value) ?? [];
  if (quote === '"') return inner.replace(/\\(["\\`$])/g, '$1');
  return quote === "'" ? inner : value.replace(/\\(.)/g, '$1');
}

function proxyUnit(program: Program): string {
  return `${header(PROXY_UNIT)}
[Unit]
Description=The gantryd proxy, which carries the traffic of this host
# Its end comes before that of Docker and of the network.
After=network-online.target docker.service
Wants=network-online.target
# Its connections end with it, so it is never stopped by the way. On purpose: gantryd proxy stop
RefuseManualStop=yes

[Service]
# The processes change with each upgrade, and the proxy keeps a standby of its own.
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=-${SETTINGS}
ExecStart=${commandLine(program, 'proxy', 'start')}
ExecReload=${commandLine(program, 'proxy', 'upgrade')}
# Only when the host goes down: what is under way may finish.
ExecStop=${commandLine(program, 'proxy', 'stop', '--within', '10')}
KillMode=process
OOMPolicy=continue
OOMScoreAdjust=-900
LimitNOFILE=${OPEN_FILES}
TimeoutStartSec=90
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
`;
}

function agentUnit(program: Program): string {
  return `${header('gantryd@PROJECT.service')}
[Unit]
Description=The gantryd agent of project %i
After=gantryd-proxy.service network-online.target docker.service
Wants=gantryd-proxy.service network-online.target docker.service
# An agent that is missing heals nothing: it is started again for ever.
StartLimitIntervalSec=0

[Service]
Type=exec
EnvironmentFile=-${SETTINGS}
EnvironmentFile=-/etc/gantryd/%i.env
ExecStart=${commandLine(program, 'run')} %i
Restart=always
RestartSec=1
# What the agent started outlives it: it may have started the proxy.
KillMode=process
OOMPolicy=continue
LimitNOFILE=${OPEN_FILES}
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
`;
}

function header(unit: string): string {
  return `${MARK}, which writes it anew. Changes of your own: systemctl edit ${unit}`;
}

function settingsHeader(): string {
  return `${MARK}, and yours to edit: the environment of the proxy and of every agent.
# What one agent alone is to have: PROJECT.env in this folder. In effect after: systemctl restart gantryd@PROJECT
`;
}

function commandLine({ node, script }: Program, ...words: readonly string[]): string {
  // systemd puts no variables into the program's own path.
  return [quoted(node), ...[script, ...words].map((word) => quoted(word).replaceAll('$', '$$$$'))].join(' ');
}

/** A word as systemd.service(5) and systemd.unit(5) read it. */
function quoted(word: string): string {
  const escaped = word.replaceAll('%', '%%');
  if (/^[\w%@+:=./$-]+$/.test(word)) return escaped;
  return `"${escaped.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t')}"`;
}

/** A value as both systemd (EnvironmentFile) and a shell read it. */
function quotedSetting(value: string): string {
  return /^[\w@%+:=,./-]+$/.test(value) ? value : `"${value.replace(/["\\`$]/g, '\\$&')}"`;
}

function nameIn(line: string): string | undefined {
  return /^\s*([A-Za-z_]\w*)=/.exec(line)?.[1];
}
