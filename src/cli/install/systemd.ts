/** systemctl, of this host as it runs or offline of a file system below a folder. Knows no unit by name but agents. */
import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { codeOf, GantryError, messageOf } from '../../errors.ts';
import { projectOf, UNIT_FOLDER } from './units.ts';

/** Longer than any start or stop of our units may take. */
const CALL_MS = 180_000;
/** sd_booted(3). */
const BOOTED = '/run/systemd/system';

export class Systemd {
  readonly #root: string | undefined;

  /** `root`: offline, in the file system below that folder. */
  constructor(root: string | undefined) {
    this.#root = root;
  }

  /** Throws install-failed when systemd does not run here, or is not ours to tell. */
  async refuseUnfit(): Promise<void> {
    if (this.#root !== undefined) return;
    if (!(await isFolder(BOOTED))) {
      throw new GantryError('install-failed', `systemd does not run here: there is no ${BOOTED}`, {
        hint: 'Run `gantryd proxy start`, then `gantryd run PROJECT`, under the supervisor you have; it must end an agent alone, without what the agent started. For an image: --root DIR. --print shows the units.',
      });
    }
    if (process.getuid?.() === 0) return;
    throw new GantryError('install-failed', 'Units of this host are for root to change', {
      hint: 'Run it with sudo, or see with --print what it would write.',
    });
  }

  /** Makes systemd read the units anew; offline there is nobody to do so. */
  async reload(): Promise<void> {
    if (this.#root === undefined) await this.#call('daemon-reload');
  }

  async enable(units: readonly string[]): Promise<void> {
    await this.#call('enable', ...units);
  }

  /** One that is not enabled is success. */
  async disable(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.#call('disable', ...units);
  }

  async act(verb: 'start' | 'stop' | 'restart' | 'reload', units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.#call(verb, ...units);
  }

  /** The projects whose agents are enabled or, where systemd runs, loaded; in order. */
  async agents(): Promise<readonly string[]> {
    const folder = join(this.#root ?? '/', UNIT_FOLDER, 'multi-user.target.wants');
    const units = [...(await namesIn(folder)), ...(this.#root === undefined ? await this.#loaded() : [])];
    const projects = units.map(projectOf).filter((project) => project !== undefined);
    return [...new Set(projects)].sort();
  }

  async #loaded(): Promise<readonly string[]> {
    const words = ['list-units', '--plain', '--no-legend', '--full', 'gantryd@*.service'];
    const lines = (await this.#call(...words)).split('\n');
    return lines.map((line) => line.trim().split(/\s+/)[0] ?? '');
  }

  async #call(...words: readonly string[]): Promise<string> {
    const args = [...(this.#root === undefined ? [] : ['--root', this.#root]), '--no-ask-password', ...words];
    try {
      const env = { ...process.env, LC_ALL: 'C', SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0' };
      return (await promisify(execFile)('systemctl', args, { env, timeout: CALL_MS })).stdout;
    } catch (error) {
      throw failed(words, error);
    }
  }
}

function failed(words: readonly string[], error: unknown): GantryError {
  const command = `systemctl ${words.join(' ')}`;
  if (codeOf(error) === 'ENOENT') {
    return new GantryError('install-failed', 'systemctl is missing: this is no system with systemd', {
      hint: 'gantryd install --print shows what to run under another supervisor.',
      cause: error,
    });
  }
  const { stderr, killed } = error as { readonly stderr?: string; readonly killed?: boolean };
  const said = killed === true ? `no end after ${CALL_MS / 1000} s` : stderr?.trim() || messageOf(error);
  return new GantryError('install-failed', `${command} failed: ${said}`, {
    hint: 'journalctl -xe tells what the unit itself said. What serves goes on; run the command again when it is mended.',
    cause: error,
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
