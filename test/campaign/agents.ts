/** The agents of a campaign, which are killed, stopped and given another clock, and must never end by themselves. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { PROJECT, WAIT_MS } from '../e2e/fleet.ts';
import type { Host } from '../ground/hosts.ts';
import type { Running } from '../ground/processes.ts';
import type { Keep } from './logs.ts';

const CLOCK = pathToFileURL(join(PACKAGE_ROOT, 'test', 'campaign', 'clock.mjs')).href;
const END_MS = 30_000;
const DEFECT = /"code":"internal"|Unexpected|UnhandledPromise|\bat .*\.js:\d+:\d+/;

interface One {
  readonly host: Host;
  running: Running;
  /** Its end was wanted. */
  ending: boolean;
  number: number;
}

export interface AgentsOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly keep: Keep;
  problem(text: string): void;
  /** Of a host's agent, as it is heard; JSON. */
  onEvent(host: string, event: Readonly<Record<string, unknown>>): void;
}

export class Agents {
  readonly #all = new Map<string, One>();
  readonly #options: AgentsOptions;

  constructor(options: AgentsOptions) {
    this.#options = options;
  }

  /** Answers once it runs. */
  async start(host: Host): Promise<void> {
    await writeFile(clockOf(host), '0');
    const one = { host, running: this.#begun(host), ending: false, number: 1 };
    this.#all.set(host.name, one);
    await this.#runs(one);
  }

  /** Killed, and started again once `meanwhile` is over. */
  async killed(name: string, meanwhile: () => Promise<unknown>): Promise<void> {
    const one = this.#named(name);
    one.ending = true;
    one.running.signal('SIGKILL');
    await one.running.ended;
    this.#kept(one);
    await meanwhile();
    one.running = this.#begun(one.host);
    one.ending = false;
    one.number += 1;
    await this.#runs(one);
  }

  async stopped(name: string, meanwhile: () => Promise<unknown>): Promise<void> {
    const { running } = this.#named(name);
    running.signal('SIGSTOP');
    await meanwhile();
    running.signal('SIGCONT');
  }

  async shifted(name: string, byMs: number, meanwhile: () => Promise<unknown>): Promise<void> {
    const { host, running } = this.#named(name);
    const set = async (ms: number) => {
      await writeFile(clockOf(host), String(ms));
      running.signal('SIGUSR2');
    };
    await set(byMs);
    await meanwhile();
    await set(0);
  }

  /** Tells all to end, and sees how they do. */
  async end(): Promise<void> {
    await Promise.all([...this.#all.values()].map((one) => this.#end(one)));
  }

  /** What those that run have said so far, into the logs. */
  keepAll(): void {
    for (const one of this.#all.values()) this.#kept(one);
  }

  async #end(one: One): Promise<void> {
    one.ending = true;
    one.running.signal('SIGTERM');
    const result = await Promise.race([one.running.ended, delay(END_MS, undefined, { ref: false })]);
    this.#kept(one);
    if (result === undefined) {
      this.#options.problem(`the agent of ${one.host.name} did not end within ${END_MS} ms of SIGTERM`);
    } else if (result.code !== 0) {
      this.#options.problem(`the agent of ${one.host.name} ended with ${result.code ?? result.signal}`);
    }
  }

  #begun(host: Host): Running {
    const env = {
      ...this.#options.env,
      ...{ NODE_OPTIONS: `--import=${CLOCK}`, CAMPAIGN_CLOCK_FILE: clockOf(host) },
    };
    const line = { text: '' };
    const running = host.agent(['run', PROJECT, '--host-name', host.name, '--json'], {
      env,
      onStdout: (part) => {
        const lines = (line.text + part).split('\n');
        line.text = lines.pop() ?? '';
        for (const whole of lines) this.#options.onEvent(host.name, JSON.parse(whole));
      },
    });
    return running;
  }

  async #runs(one: One): Promise<void> {
    const { host, running } = one;
    void running.ended.then(({ code, signal }) => {
      if (one.ending || one.running !== running) return;
      this.#kept(one);
      this.#options.problem(`the agent of ${host.name} ended by itself with ${code ?? signal}`);
    });
    await running.says('"kind":"running"', WAIT_MS);
  }

  #kept({ host, running, number }: One): void {
    const said = `${running.stdout}\n${running.stderr}`;
    this.#options.keep(`agent-${host.name}-${number}.log`, said);
    const [defect] = DEFECT.exec(running.stderr) ?? /"code":"internal".*/.exec(running.stdout) ?? [];
    if (defect !== undefined) this.#options.problem(`the agent of ${host.name} met a defect: ${defect}`);
  }

  #named(name: string): One {
    const one = this.#all.get(name);
    if (one === undefined) throw new Error(`there is no agent on ${name}`);
    return one;
  }
}

function clockOf(host: Host): string {
  return join(host.folder, 'clock');
}
