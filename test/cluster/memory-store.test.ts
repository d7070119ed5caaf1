import { storeContract } from './contract.ts';
import { MemoryCluster } from './memory-cluster.ts';
import { MemoryStore } from './memory-store.ts';

function memoryGround() {
  const cluster = new MemoryCluster();
  return {
    skip: false as const,
    setUp: async () => {},
    tearDown: async () => cluster.shutDown(),
    open: () => new MemoryStore(cluster),
    endLease: async (lease: string) => cluster.end(lease),
    snapshot: async () => {
      const taken = cluster.snapshot();
      return async () => cluster.restore(taken);
    },
  };
}

storeContract('The memory store', memoryGround());
