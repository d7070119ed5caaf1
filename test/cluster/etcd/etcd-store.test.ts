import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { type Etcd, skipWithoutEtcd, startEtcd } from '../../ground/etcd.ts';
import { type Ground, storeContract } from '../contract.ts';

/** The contract knows no time limit of calls: hundreds of writes at once take as long as the machine's disk does. */
const CALL_TIMEOUT_MS = 30_000;

function etcdGround(members: 1 | 3): Ground {
  let etcd: Etcd;
  const cleanups: (() => Promise<void> | void)[] = [];
  return {
    skip: skipWithoutEtcd,
    setUp: async () => {
      etcd = await startEtcd({ after: (clean) => cleanups.push(clean) }, { members });
    },
    tearDown: async () => {
      for (const clean of cleanups) await clean();
    },
    open: () => openStore({ endpoints: etcd.endpoints, callTimeoutMs: CALL_TIMEOUT_MS }),
    endLease: async (lease) => {
      await etcd.control('lease', 'revoke', BigInt(lease).toString(16));
    },
    snapshot: async () => {
      const taken = await etcd.snapshot();
      return () => etcd.restore(taken);
    },
  };
}

storeContract('etcd', etcdGround(1));
storeContract('etcd of three', etcdGround(3));
