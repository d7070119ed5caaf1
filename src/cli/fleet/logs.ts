/**
 * `gantryd logs`: what the containers of a component print, on all hosts that run it. What they print to stdout and
 * stderr goes there, marked with whose it is unless there is only one; what gantryd says of it goes to stderr.
 */
import { type FleetLine, fleetLog, type LogsAsked } from '../../api/logs/fleet-log.ts';
import { GantryError } from '../../errors.ts';
import { printable } from '../../event-words.ts';
import type { Fleet } from '../../fleet/intents/look.ts';
import { withFleet } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { written } from '../jobs/sink.ts';
import type { Streams } from '../streams.ts';
import type { LogsArguments } from './logs-options.ts';
import { sinceOf } from './since.ts';

/** A container's lines, as the fleet tells them. */
type Printed = Extract<FleetLine, { readonly text: string }>;

/** 1: a host could not be asked, or a log not be read to its end. */
export async function runLogs(args: LogsArguments): Promise<number> {
  const asked = askedOf(args);
  return withFleet(args, (fleet) => interruptible((signal) => show(fleet, asked, args, signal)));
}

/** Until interrupted, or nobody reads any more. */
async function show(
  fleet: Fleet,
  asked: LogsAsked,
  args: LogsArguments,
  signal: AbortSignal,
): Promise<number> {
  const printer = new LogPrinter({ json: args.json, quiet: args.logLevel === 'silent' });
  const unread = new AbortController();
  const end = () => unread.abort();
  process.stdout.once('error', end);
  try {
    const lines = await fleetLog(fleet, asked, AbortSignal.any([signal, unread.signal]));
    for await (const line of lines) if (!(await printer.tell(line))) end();
  } finally {
    process.stdout.off('error', end);
  }
  const isCut = signal.aborted && !args.follow;
  return printer.hasMissed || isCut ? 1 : 0;
}

function askedOf(args: LogsArguments): LogsAsked {
  const { project, component, host, follow, since, tail } = args;
  if (host.includes(''))
    throw new GantryError('usage', '--host needs a value', { hint: '--help shows what it takes.' });
  return {
    ...{ project, component: component[0] ?? '', hosts: [...new Set(host)], follow },
    ...(since === undefined ? {} : { since: Math.max(sinceOf(since, Date.now()), 0) }),
    ...(tail === undefined ? {} : { tail }),
  };
}

export interface PrinterOptions {
  readonly json: boolean;
  /** Notes are not told. */
  readonly quiet?: boolean;
  readonly streams?: Streams;
}

export class LogPrinter {
  readonly #options: PrinterOptions;
  readonly #streams: Streams;
  readonly #missed = new Set<string>();
  #containers = 0;
  /** Whose the first line was. */
  #first: string | undefined;

  constructor(options: PrinterOptions) {
    this.#options = options;
    this.#streams = options.streams ?? process;
  }

  /** Whether something of what was asked for is not shown. */
  get hasMissed(): boolean {
    return this.#missed.size > 0;
  }

  /** False: nobody reads it any more. */
  async tell(line: FleetLine): Promise<boolean> {
    if ('containers' in line) {
      this.#containers += line.containers;
      return true;
    }
    if ('note' in line) this.#note(line);
    if (this.#options.json) return this.#write('stdout', JSON.stringify(line));
    if ('note' in line) return this.#options.quiet === true || this.#write('stderr', noteWords(line));
    return this.#write(line.stream, `${this.#mark(line)}${line.text}`);
  }

  #note(line: Extract<FleetLine, { readonly note: string }>): void {
    if (line.missed === true) this.#missed.add(line.host);
    if (line.back === true) this.#missed.delete(line.host);
    if (line.container !== undefined) this.#missed.add(`${line.host}/${line.container}`);
  }

  /** From the second container on each line says whose it is. */
  #mark(line: Printed): string {
    const whose = `${line.host}/${line.container}`;
    this.#first ??= whose;
    if (whose !== this.#first) this.#containers = Math.max(this.#containers, 2);
    this.#missed.delete(whose); // its log goes on
    return this.#containers > 1 ? `${whose} | ` : '';
  }

  /** A reader of stderr that went away misses it; without one of stdout there is nothing more to do. */
  async #write(stream: 'stdout' | 'stderr', text: string): Promise<boolean> {
    return (await written(this.#streams[stream], Buffer.from(`${text}\n`))) || stream === 'stderr';
  }
}

function noteWords({ host, container, note }: Extract<FleetLine, { readonly note: string }>): string {
  return printable(`${container === undefined ? host : `${host}/${container}`}: ${note}`);
}
