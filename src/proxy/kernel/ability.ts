/** Whether this host can have a kernel plane: asked of the host itself, and not of its version numbers. */
import { access, constants, readFile } from 'node:fs/promises';
import { messageOf } from '../../errors.ts';
import { hasProgram, runCommand } from './command.ts';
import { CONNTRACK } from './conntrack.ts';
import type { Ability, KernelProtocol } from './plane.ts';
import { type Ruleset, rulesetOf, wholeText } from './ruleset.ts';

/** Their bits in CapEff. */
const NEEDED = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n };

/** Each kind of rule that there is, so that a kernel or an nft that lacks one of them is known before it is needed. */
const SAMPLE: Ruleset = rulesetOf({
  entries: ['0.0.0.0', '127.0.0.1', '::', 'fd00::1'].map((address) => ({
    protocol: 'tcp',
    address,
    port: 1,
    targets: ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2'].map((host) => {
      return { id: host, host, port: 1, weight: 1 };
    }),
  })),
  near: [
    { name: 'lo', network: '192.0.2.0/24' },
    { name: 'lo', network: '2001:db8::/64' },
  ],
  loopback: true,
});

export async function abilityHere(protocol: KernelProtocol): Promise<Ability> {
  const missing = (await withoutRights()) ?? (await withoutPrograms(protocol)) ?? (await withoutRules());
  return missing ?? (await withoutFlows()) ?? { can: true };
}

type Refusal = Extract<Ability, { can: false }>;

async function withoutRights(): Promise<Refusal | undefined> {
  const status = await readFile('/proc/self/status', 'utf8');
  const rights = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const lacking = Object.entries(NEEDED).filter(([, bit]) => ((rights >> bit) & 1n) === 0n);
  if (lacking.length === 0) return undefined;
  const names = lacking.map(([name]) => name).join(' and ');
  return refusal(
    `The proxy may not change the rules of this host's network (it lacks ${names}).`,
    'Run gantryd as root, or have the port on the plane userspace.',
  );
}

async function withoutPrograms(protocol: KernelProtocol): Promise<Refusal | undefined> {
  const needed = [
    { program: 'nft', from: 'nftables' },
    { program: 'ss', from: 'iproute2' },
    { program: 'nsenter', from: 'util-linux' },
    ...(protocol === 'udp' ? [{ program: 'conntrack', from: 'conntrack' }] : []),
  ];
  const there = await Promise.all(needed.map(({ program }) => hasProgram(program)));
  const missing = needed.filter((_, i) => !there[i]);
  if (missing.length === 0) return undefined;
  const list = (words: string[]) => words.join(' and ');
  return refusal(
    `This host has no ${list(missing.map(({ program }) => program))}.`,
    `Install ${list(missing.map(({ from }) => from))} (so the packages are called on Debian and Ubuntu).`,
  );
}

async function withoutRules(): Promise<Refusal | undefined> {
  const text = wholeText('gantryd_sample', SAMPLE, '1');
  const { status, stderr } = await runCommand('nft', ['-c', '-f', '-'], text);
  if (status === 0) return withoutLines();
  const said = stderr.trim().split('\n')[0] ?? '';
  return refusal(
    `The kernel or nft of this host does not take the rules it takes (nft says: ${said}).`,
    'It takes nft 1.0 and a kernel with nf_tables, nft_nat, nft_masq, nft_fib_inet and nft_numgen.',
  );
}

/** Some builds of nft take no lines from a pipe. */
async function withoutLines(): Promise<Refusal | undefined> {
  const { status, stderr } = await runCommand('nft', ['-i'], 'list tables\nquit\n');
  if (status === 0 && !/^Error/m.test(stderr)) return undefined;
  return refusal(
    'The nft of this host was built without its command line (`nft -i`).',
    'Install the nftables of a distribution, which has it.',
  );
}

async function withoutFlows(): Promise<Refusal | undefined> {
  try {
    await access(CONNTRACK, constants.R_OK);
    return undefined;
  } catch (error) {
    return refusal(
      `The open connections cannot be counted: ${messageOf(error)}.`,
      'It takes root, and a kernel with CONFIG_NF_CONNTRACK_PROCFS.',
    );
  }
}

function refusal(why: string, hint: string): Refusal {
  return { can: false, why, hint };
}
