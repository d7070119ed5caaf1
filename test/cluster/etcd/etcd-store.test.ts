import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { type Etcd, skipWithoutEtcd, startEtcd } from '../../ground/etcd.ts';
import { type Ground, storeContract } from '../contract.ts';

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
    open: () => openStore({ endpoints: etcd.endpoints }),
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
