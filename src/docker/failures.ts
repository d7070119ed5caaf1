/**
 * What went wrong with a call, in gantryd's words. The only place that looks at Docker's status
 * codes, system error codes and message texts; no Docker error leaves this folder.
 */
import { GantryError, messageOf } from '../errors.ts';

const UNREACHABLE = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'ENOTSOCK',
]);
/** Of OpenSSL and node:tls. */
const UNTRUSTED = /^(ERR_TLS|ERR_SSL|ERR_OSSL|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;
const FORBIDDEN = new Set(['EACCES', 'EPERM']);
const BROKEN_OFF = new Set([
  'ECONNRESET',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ABORT_ERR',
  'HPE_INVALID_EOF_STATE',
]);

/** HTTP status of the engine's refusal; undefined when it did not answer. */
export function statusOf(error: unknown): number | undefined {
  const status = field(error, 'statusCode');
  return typeof status === 'number' ? status : undefined;
}

/** The engine's own words, without docker-modem's preamble. */
export function wordsOf(error: unknown): string {
  const message = field(field(error, 'json'), 'message');
  if (typeof message === 'string' && message !== '') return message.trim();
  return messageOf(error)
    .replace(/^\(HTTP code \d+\) .*? - /s, '')
    .trim();
}

/** `what` completes "did not …" and "refused to …". */
export function translate(error: unknown, what: string, address: string): GantryError {
  if (error instanceof GantryError) return error;
  const code = String(field(error, 'code') ?? '');
  if (UNREACHABLE.has(code)) return unreachable(address, error);
  if (FORBIDDEN.has(code)) return forbidden(address, error);
  if (UNTRUSTED.test(code)) return untrusted(address, error);
  if (isBrokenOff(error)) return brokenOff(what, address, error);
  return new GantryError('engine-failed', `The Docker engine refused to ${what}: ${wordsOf(error)}`, {
    cause: error,
    // A container that the runtime cannot make fails with 500, too, and always will.
    retryable: (statusOf(error) ?? 0) >= 500 && !/OCI runtime/i.test(wordsOf(error)),
  });
}

/** What only something else than a Docker engine answers when asked for its version; undefined: it may be one. */
export function foreign(error: unknown, address: string): GantryError | undefined {
  const unknownPath = [404, 405].includes(statusOf(error) ?? 0);
  const noHttp = String(field(error, 'code') ?? '').startsWith('HPE_') && !isBrokenOff(error);
  if (!unknownPath && !noHttp && !(error instanceof SyntaxError)) return undefined;
  return new GantryError('engine-unreachable', `What answers at ${address} is no Docker engine.`, {
    cause: error,
    hint: 'Say where it is with --docker or DOCKER_HOST, as unix:///var/run/docker.sock.',
  });
}

export function isNoSuchContainer(error: unknown): boolean {
  return statusOf(error) === 404 && /no such container/i.test(wordsOf(error));
}

export function isNoSuchNetwork(error: unknown): boolean {
  return statusOf(error) === 404 && /network .*not found|no such network/i.test(wordsOf(error));
}

/** Of the words that a runtime has for a command it could not run. */
export function isMissingProgram(words: string): boolean {
  return /executable file not found|\bstat [^:]*: no such file/i.test(words);
}

/** Of a path in a container that leads nowhere: nothing there, through a file, or links that go round in a circle. */
export function isNoSuchPath(error: unknown): boolean {
  if (statusOf(error) === 404) return !isNoSuchContainer(error);
  return /not a directory|too many (links|levels of symbolic links)/i.test(wordsOf(error));
}

/** 403 of joining a network a second time. */
export function isJoinedAlready(error: unknown): boolean {
  return statusOf(error) === 403 && /already exists in network/i.test(wordsOf(error));
}

export function isNoSuchImage(error: unknown): boolean {
  return statusOf(error) === 404 && /no such image/i.test(wordsOf(error));
}

/** 409 of a removal that is under way already. */
export function isBeingRemoved(error: unknown): boolean {
  return (
    statusOf(error) === 409 &&
    /removal of container .* is already in progress|marked for removal/i.test(wordsOf(error))
  );
}

/** 409 of kill and exec on a container that does not run. */
export function isNotRunning(error: unknown): boolean {
  return (
    [409, 500].includes(statusOf(error) ?? 0) &&
    /is not running|is stopped|container not running/i.test(wordsOf(error))
  );
}

/** Answered to a call in a version that the engine does not speak any more. */
export function isVersionRefused(error: unknown): boolean {
  return statusOf(error) === 400 && /client version .* is too (old|new)/i.test(wordsOf(error));
}

export function isUnreadableLog(error: unknown): boolean {
  return /does not support reading|marked for removal|dead or marked/i.test(wordsOf(error));
}

/** What the registry or the network said to a pull, sorted by what the operator can do. */
export function pullFailure(words: string, ref: string, cause?: unknown): GantryError {
  const details = cause === undefined ? {} : { cause };
  if (/no space left on device/i.test(words)) {
    return new GantryError('engine-failed', `Pulling ${ref} failed: ${words}`, {
      ...details,
      hint: "Free space where the Docker engine keeps its data, as with 'docker system prune'.",
    });
  }
  if (
    /denied|unauthorized|authentication required|no basic auth|incorrect username or password/i.test(words)
  ) {
    return new GantryError('pull-refused', `The registry refused the pull of ${ref}: ${words}`, {
      ...details,
      hint: "Check the image's name; if it is private, run 'docker login' for its registry or name a Docker config file in registryAuth.",
    });
  }
  if (
    /manifest unknown|name unknown|not found|no such image|does not exist|invalid reference|no matching manifest/i.test(
      words,
    )
  ) {
    return new GantryError('image-not-found', `The registry has no ${ref}: ${words}`, {
      ...details,
      hint: 'Check repo and tag of the component.',
    });
  }
  return new GantryError('pull-refused', `The pull of ${ref} failed: ${words}`, {
    ...details,
    retryable: true,
    hint: 'Check the network and the registry; an image that this host already has needs no pull.',
  });
}

function unreachable(address: string, cause: unknown): GantryError {
  return new GantryError(
    'engine-unreachable',
    `No Docker engine answers at ${address} (${messageOf(cause)}).`,
    {
      cause,
      retryable: true,
      hint: 'Start it, or say where it is with --docker or DOCKER_HOST, as unix:///var/run/docker.sock.',
    },
  );
}

function forbidden(address: string, cause: unknown): GantryError {
  return new GantryError('engine-unreachable', `This user may not talk to the Docker engine at ${address}.`, {
    cause,
    hint: 'Run as root, or add the user to the group that owns the socket (mostly docker) and log in again; --docker names another engine.',
  });
}

function untrusted(address: string, cause: unknown): GantryError {
  const message = `The Docker engine at ${address} cannot be trusted or does not trust us: ${messageOf(cause)}.`;
  return new GantryError('engine-unreachable', message, {
    cause,
    hint: 'For an engine behind TLS set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of its ca.pem, cert.pem and key.pem.',
  });
}

function isBrokenOff(error: unknown): boolean {
  return BROKEN_OFF.has(String(field(error, 'code') ?? ''));
}

export function brokenOff(what: string, address: string, cause: unknown): GantryError {
  return new GantryError(
    'engine-unreachable',
    `The Docker engine at ${address} broke off when asked to ${what}.`,
    {
      cause,
      retryable: true,
      hint: 'It was probably restarted; try again.',
    },
  );
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
