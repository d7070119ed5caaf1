/** A campaign's own folder: what was told, by whom, kept for whoever looks for the cause. */
import { appendFileSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Excuse, judged, type Loss } from './judge.ts';

const MOST_TOLD = 20;

/** Replaces what was kept under that name. */
export type Keep = (name: string, text: string) => void;

export class Logs {
  readonly folder: string;
  readonly problems: string[] = [];
  /** All that was said. */
  told = '';
  readonly #began = performance.now();
  readonly #print: (line: string) => void;

  constructor(folder: string, print: (line: string) => void) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
    this.#print = print;
  }

  readonly keep: Keep = (name, text) => writeFileSync(join(this.folder, name), text);

  readonly say = (text: string): void => {
    const line = `${((performance.now() - this.#began) / 1000).toFixed(2).padStart(8)} ${text}`;
    this.told += `${line}\n`;
    appendFileSync(join(this.folder, 'campaign.log'), `${new Date().toISOString()} ${line}\n`);
    this.#print(line);
  };

  readonly problem = (text: string): void => {
    this.problems.push(text);
    this.say(`PROBLEM ${text}`);
  };

  append(name: string, text: string): void {
    appendFileSync(join(this.folder, name), text);
  }

  copy(name: string, from: string): void {
    if (existsSync(from)) copyFileSync(from, join(this.folder, name));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** What was lost, by its excuse, and what has none, which is a problem. */
export function tellVerdict(losses: readonly Loss[], excuses: readonly Excuse[], logs: Logs): void {
  const { excused, unexplained } = judged(losses, excuses);
  for (const { excuse, losses: of } of excused)
    logs.say(`excused: ${of.length} by ${excuse.what} (${spanOf(excuse.from, excuse.until)})`);
  for (const { client, host, container = '', since, at, why } of unexplained.slice(0, MOST_TOLD))
    logs.problem(`${client} on ${host} ${container} (${spanOf(since, at)}): ${why}`);
  if (unexplained.length > MOST_TOLD) logs.problem(`and ${unexplained.length - MOST_TOLD} more`);
  logs.keep('losses.json', JSON.stringify({ excuses, excused, unexplained }, null, 1));
}

function spanOf(from: number, to: number): string {
  const iso = (ms: number) => (Number.isFinite(ms) ? new Date(ms).toISOString().slice(11, 23) : 'now');
  return `${iso(from)} to ${iso(to)}`;
}
