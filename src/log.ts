/**
 * The log: constant message + fields, one JSON object a line, pino behind it. For processes that live on
 * (the proxy); commands tell events instead (events.ts).
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Loads pino on first use, so that commands which log nothing do not pay for it. */
export async function openLog(level: LogLevel, fd: number): Promise<Log> {
  if (level === 'silent') return SILENT;
  const { default: pino } = await import('pino');
  const logger = pino({ level, base: { pid: process.pid } }, pino.destination({ fd, sync: true }));
  const at =
    (write: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      logger[write](fields, message);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
