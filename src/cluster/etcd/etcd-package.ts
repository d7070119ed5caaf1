/** The only file that loads etcd3, and of what comes with it what its calls need. */
import type * as Grpc from '@grpc/grpc-js';
import type * as Cockatiel from 'cockatiel';
import type * as Etcd from 'etcd3';
import { loadPackage } from '../../packages.ts';

interface Loaded {
  readonly Etcd3: typeof Etcd.Etcd3;
  readonly InterceptingCall: typeof Grpc.InterceptingCall;
  readonly noop: typeof Cockatiel.noop;
}

export const { Etcd3, InterceptingCall, noop } = loadPackage<Loaded>('etcd3', (require) => ({
  Etcd3: require('etcd3').Etcd3,
  InterceptingCall: require('@grpc/grpc-js').InterceptingCall,
  noop: require('cockatiel').noop,
}));
export type Etcd3 = Etcd.Etcd3;
