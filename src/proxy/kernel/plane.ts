/**
 * The kernel plane's contract: new connections to some of our places are led to containers by nftables, without a
 * byte of them passing through a process. What is in force stays in force when nobody lives who put it there.
 * Why it is so: docs/decisions/0020.
 */

export type KernelProtocol = 'tcp' | 'udp';

/** A container's port, as the kernel is told of it. */
export interface KernelTarget {
  /** The container's id. */
  readonly id: string;
  /** An IPv4 or IPv6 address of a container of this host. */
  readonly host: string;
  readonly port: number;
  /** Its part of the new connections, against that of the others; a whole number from 1 to 100. */
  readonly weight: number;
  /** Of the container's first process, as this host numbers it: when it is gone, the target is taken out at once. */
  readonly pid?: number;
}

/** Where new connections to one place go. Without targets there is no rule for it: a socket may answer there. */
export interface KernelEntry {
  readonly protocol: KernelProtocol;
  /** An address of this host; 0.0.0.0 for all IPv4, :: for all of both. */
  readonly address: string;
  readonly port: number;
  readonly targets: readonly KernelTarget[];
}

/** One connection (udp: one exchange of datagrams) that the kernel carries and has not seen the end of. */
export interface KernelFlow {
  readonly protocol: KernelProtocol;
  /** Address and port, IPv6 in brackets. */
  readonly client: string;
  /** The port of this host that the client came to. */
  readonly listenerPort: number;
  /** Where it was led. */
  readonly host: string;
  readonly port: number;
  /** Both ways; undefined: the kernel does not count them (net.netfilter.nf_conntrack_acct is 0). */
  readonly bytes: number | undefined;
}

/** Whether this host can; `why` and `hint` are whole sentences. */
export type Ability =
  | { readonly can: true }
  | { readonly can: false; readonly why: string; readonly hint: string };

/** What happens to the rules while nobody asks for anything. */
export interface KernelEvents {
  /** The process of a target has ended; the kernel leads there for a moment yet. */
  targetDead(target: KernelTarget): void;
  /** And now new connections do not go there any more. */
  targetGone(target: KernelTarget): void;
  /** Rules of ours were missing, and are back (`error`: could not be put back; it is tried again). */
  restored(missing: string, error?: Error): void;
}

export interface KernelPlane {
  /** Looked up once; for `udp` it takes more than for `tcp`. */
  ability(protocol: KernelProtocol): Promise<Ability>;
  /**
   * Exactly these entries from now on, in one transaction: no new connection meets a state between. Connections that
   * are open stay where they are. Rejects with GantryError proxy-failed and leaves what was in force. Calls are taken
   * one after another.
   */
  apply(entries: readonly KernelEntry[]): Promise<void>;
  /** Everything that the kernel carries for us, in one read. */
  flows(): Promise<readonly KernelFlow[]>;
  /**
   * Ends these for both sides: the client and the container each see a reset, and nothing is left behind. Flows that
   * have ended by themselves are left out of the answer. `pid`: see KernelTarget.
   */
  end(flows: readonly KernelFlow[], pid: number | undefined): Promise<number>;
  /** Takes out all rules and settings that are ours. What is open goes on where the host's own rules let it. */
  purge(): Promise<void>;
  /** Ends the helpers of this object and leaves the rules in force. */
  close(): Promise<void>;
}
