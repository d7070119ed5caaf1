/** Has the kernel count the bytes of each connection, which tells a silent one. */
import { readFile, writeFile } from 'node:fs/promises';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';

const SETTING = '/proc/sys/net/netfilter/nf_conntrack_acct';

/** For connections that come from now on. It stays so: others may count on it by then. Never fails. */
export async function countBytes(log: Log): Promise<void> {
  try {
    if ((await readFile(SETTING, 'utf8')).trim() !== '0') return;
    await writeFile(SETTING, '1');
    log.info('the kernel counts the bytes of connections from now on', { setting: SETTING });
  } catch (error) {
    log.warn('the kernel does not count bytes: idleTimeout has no effect on what it carries', {
      why: messageOf(error),
    });
  }
}
