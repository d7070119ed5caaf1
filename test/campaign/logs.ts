/** A campaign's own folder: what was told, by whom, kept for whoever looks for the cause. */
import { appendFileSync, copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

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
