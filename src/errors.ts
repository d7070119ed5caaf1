/**
 * The one error type that crosses folder borders. Drivers translate what Docker, the
 * proxy or the file system throws into it; the CLI turns it into a message and an exit code.
 * Every code is listed in docs/errors.md, held complete by a test.
 */

export const ERROR_CODES = {
  'config-unreadable': { exit: 2, about: 'the config file is missing or cannot be read' },
  'config-invalid': { exit: 2, about: 'the config has problems; each is listed with its place' },
  'component-unknown': { exit: 2, about: 'the config defines no component of that name' },
  usage: { exit: 2, about: 'the command line is wrong' },
  'state-dir': { exit: 1, about: 'the state directory cannot be used' },
  'state-write': { exit: 1, about: 'a file of the state directory could not be written' },
  locked: { exit: 1, about: 'another gantryd process holds the lock for longer than it may' },
  'engine-unreachable': { exit: 1, about: 'no Docker engine answers at the address' },
  'engine-unsupported': { exit: 1, about: 'the Docker engine speaks no API version gantryd knows' },
  'engine-timeout': { exit: 1, about: 'the Docker engine took longer than the deadline of the call' },
  'engine-failed': { exit: 1, about: 'the Docker engine refused a call' },
  'image-not-found': { exit: 1, about: 'neither this host nor the registry has the image' },
  'pull-refused': { exit: 1, about: 'the registry or the network refused the pull' },
  'container-gone': { exit: 1, about: 'the container does not exist any more' },
  'name-taken': { exit: 1, about: 'a container of that name exists and is not ours' },
  'port-taken': { exit: 1, about: 'another project or a foreign process listens on a port of the component' },
  'plane-unavailable': {
    exit: 1,
    about: 'a port asks for the kernel plane, which this host or the container cannot have',
  },
  'proxy-unreachable': { exit: 1, about: 'the proxy process does not answer on its control socket' },
  'proxy-failed': { exit: 1, about: 'the proxy refused or failed a control call' },
  'route-conflict': { exit: 1, about: 'the route table changed between read and write' },
  'link-unavailable': { exit: 1, about: 'a required component link has no running exporter' },
  'already-running': { exit: 1, about: 'start was asked for a component that runs' },
  'release-failed': { exit: 1, about: 'the new containers did not become ready; the old ones serve' },
  superseded: { exit: 1, about: 'a later command changed what this one was working towards' },
  interrupted: { exit: 1, about: 'the command was interrupted before the switch' },
  'cluster-unreachable': { exit: 1, about: 'no etcd member answers in time' },
  'cluster-refused': { exit: 1, about: 'etcd refuses the user, the password, the certificate or the right' },
  'cluster-failed': { exit: 1, about: 'etcd answered something gantryd cannot use' },
  'project-unknown': { exit: 2, about: 'no config was set for a project of that name' },
  'release-unknown': { exit: 2, about: 'the component has no release of that number' },
  'no-rollout': { exit: 1, about: 'the component has no rollout that could be paused or resumed' },
  'rollout-paused': { exit: 1, about: 'the rollout that was waited for is paused' },
  'wait-over': { exit: 3, about: 'the time to wait is over; what was asked for goes on' },
  'no-hosts': { exit: 4, about: 'no live host runs the component, so there was nothing to wait for' },
  'host-taken': { exit: 1, about: 'another agent runs for the project under this host name' },
  'image-differs': { exit: 1, about: 'the image of that name is not the one the release was made from' },
  'host-unfit': {
    exit: 1,
    about: 'this host has not what a release or a job needs: room, or a place for secrets',
  },
  'install-failed': { exit: 1, about: 'the services of this host could not be written, started or removed' },
  'run-unknown': { exit: 2, about: 'the project has no run of that name' },
  'run-active': { exit: 1, about: 'the run is under way, so it cannot be removed' },
  'schedule-unknown': { exit: 2, about: 'the project has no schedule of that name' },
  'schedule-busy': { exit: 1, about: 'a run of the schedule is under way, and it allows no second one' },
  'secret-unknown': { exit: 2, about: 'a secret of that name was not set' },
  'secrets-key': { exit: 1, about: 'the key for the secrets is missing, unsafe or another one' },
  'network-unknown': { exit: 1, about: 'the Docker engine has no network of that name' },
  'file-missing': { exit: 1, about: 'a container has no file at the path where its output was to be' },
  'output-gone': { exit: 1, about: 'the log or output of a run is not to be had (any more)' },
  'no-token': { exit: 1, about: 'a request to the API shows no token, or one that is not known' },
  forbidden: { exit: 1, about: 'whoever asks the API may not have this done' },
  'not-found': { exit: 1, about: 'the API has nothing at that path' },
  'method-unknown': { exit: 1, about: 'the API has something at that path, but not for that method' },
  'too-slow': { exit: 1, about: 'a request to the API did not come in time' },
  'config-changed': { exit: 1, about: 'the config is not the one any more that a write was made for' },
  'too-large': { exit: 1, about: 'a request to the API is larger than it may be' },
  'media-type': { exit: 1, about: 'the body of a request to the API is no JSON by its headers' },
  'request-invalid': { exit: 1, about: 'a request to the API has problems; each is listed with its place' },
  'too-many': { exit: 1, about: 'whoever asks the API asks too often' },
  'token-unknown': { exit: 2, about: 'the API has no token of that name' },
  'token-taken': { exit: 2, about: 'the API has a token of that name already' },
  'webhook-failed': { exit: 1, about: 'whoever the config names with notify was not told of something' },
  internal: { exit: 1, about: 'a defect of gantryd' },
} as const satisfies Record<string, { exit: 1 | 2 | 3 | 4; about: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
  /** What the operator can do about it, as a sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class GantryError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'GantryError';
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.hint = details.hint;
  }
}

export function isGantryError(error: unknown, code?: ErrorCode): error is GantryError {
  return error instanceof GantryError && (code === undefined || error.code === code);
}

/** The message of anything thrown, for a sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What Node names a failure by, as `ENOENT`; '' when it has no such name. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}
