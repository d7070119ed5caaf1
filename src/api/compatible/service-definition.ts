/**
 * The service connector's definitions as components of a project file, and the way back. A port that is named alone is
 * the same outside. Pure.
 */
import { imageProblem as imageNameProblem } from '../../config/image.ts';
import { isRecord } from '../../config/problems.ts';
import { shellWords } from '../../config/shell-words.ts';
import { parseReference } from '../../docker/reference.ts';

export interface Definition {
  readonly name: string;
  /** With its tag; without one it is `:latest`. */
  readonly image: string;
  readonly command: string | null;
  readonly environment: Readonly<Record<string, string>> | null;
  readonly ports: readonly string[] | null;
}

/** As it stands in a project file. */
export type RawComponent = Readonly<Record<string, unknown>>;

/** The problem of one without a name or an image. */
export const MISSING = 'Missing parameters.';

const PORT = /^(?:(\d{1,5}):)?(\d{1,5})(?:\/tcp)?$/;
/** Fields that a definition decides; what operators added besides stays. */
const DECIDED = ['repo', 'tag', 'command', 'ports', 'environmentVariables'];
const UNQUOTED = /^[\w@%+=:,./-]+$/;

/** The definition that was sent, or why it is none. */
export function definitionOf(sent: unknown): Definition | { readonly problem: string } {
  if (!isRecord(sent)) return { problem: MISSING };
  const { name, image, command = null, environment = null, ports = null } = sent;
  if (!isText(name) || !isText(image)) return { problem: MISSING };
  const problem =
    imageProblem(image) ?? commandProblem(command) ?? environmentProblem(environment) ?? portsProblem(ports);
  if (problem !== undefined) return { problem };
  const variables = environment as Readonly<Record<string, unknown>> | null;
  return {
    ...{ name, image, command: command as string | null },
    environment: variables && mapped(variables),
    ports: Array.isArray(ports) ? ports.map(String) : null,
  };
}

/** `before`: the component of that name, if there is one. */
export function componentOf(definition: Definition, before: RawComponent = {}): RawComponent {
  const { name, image, command, environment, ports } = definition;
  const kept = Object.entries(before).filter(([field]) => !DECIDED.includes(field));
  // Docker's own `latest` where it has no tag.
  const { repository: repo, version: tag } = parseReference(image) ?? {
    repository: image,
    version: 'latest',
  };
  const words = command === null ? undefined : shellWords(command);
  return {
    ...{ instances: { total: 1 }, ...Object.fromEntries(kept) },
    ...{ name, repo, tag },
    ...(words === undefined || !('words' in words) ? {} : { command: words.words }),
    ...(ports === null ? {} : { ports: ports.map(rawPort) }),
    ...(environment === null ? {} : { environmentVariables: rawVariables(environment) }),
  };
}

/** undefined: it is no component. */
export function definitionIn(component: unknown): Definition | undefined {
  if (!isRecord(component) || !isText(component.name) || !isText(component.repo)) return undefined;
  const { name, repo, tag = 'latest', command, ports, environmentVariables } = component;
  const version = String(tag);
  return {
    name,
    image: version.startsWith('sha256:') ? `${repo}@${version}` : `${repo}:${version}`,
    command: Array.isArray(command) ? command.map((word) => quoted(String(word))).join(' ') : null,
    environment: Array.isArray(environmentVariables) ? variablesIn(environmentVariables) : null,
    ports: Array.isArray(ports) ? ports.flatMap((port) => portIn(port) ?? []) : null,
  };
}

function imageProblem(image: string): string | undefined {
  if (parseReference(image) !== undefined && imageNameProblem(image) === undefined) return undefined;
  return 'Invalid value for image parameter.';
}

function commandProblem(command: unknown): string | undefined {
  if (command === null) return undefined;
  if (!isText(command)) return 'Invalid value for command parameter.';
  const read = shellWords(command);
  return 'problem' in read ? `Invalid value for command parameter: it ${read.problem}.` : undefined;
}

function environmentProblem(environment: unknown): string | undefined {
  if (environment === null) return undefined;
  const isMap = isRecord(environment) && Object.values(environment).every(isScalar);
  return isMap ? undefined : 'Invalid value for environment parameter.';
}

function portsProblem(ports: unknown): string | undefined {
  if (ports === null) return undefined;
  if (!Array.isArray(ports)) return 'Invalid value for ports parameter.';
  const wrong = ports.find((port) => !PORT.test(String(port)));
  if (wrong === undefined) return undefined;
  return `Invalid value for ports parameter: ${String(wrong)} is neither PORT nor PORT:PORT.`;
}

function rawPort(port: string) {
  const [, external, container = ''] = PORT.exec(port) ?? [];
  return { external: Number(external ?? container), container: Number(container) };
}

function portIn(port: unknown): string | undefined {
  if (!isRecord(port)) return undefined;
  const { external, container } = port;
  return external === container ? String(container) : `${external}:${container}`;
}

function mapped(variables: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, String(value ?? '')]));
}

function rawVariables(environment: Readonly<Record<string, string>>) {
  return Object.entries(environment).map(([name, value]) => ({ name, value }));
}

function variablesIn(variables: readonly unknown[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    variables.flatMap((variable) =>
      isRecord(variable) ? [[String(variable.name), String(variable.value ?? '')]] : [],
    ),
  );
}

function quoted(word: string): string {
  return UNQUOTED.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
