/** Requests that the proxy makes itself to its clusters: the door for filters that ask another service. */

import type { Clock } from '../../runtime/runtime.ts';
import type { ClusterSet } from '../../upstream/cluster.ts';
import type { UpstreamPool } from '../../upstream/upstream-pool.ts';
import { TimerPool } from '../request/timers.ts';
import { SideCallError } from './failure.ts';
import type { GrpcEvents, GrpcMethod, GrpcOptions, GrpcReply, GrpcStream } from './grpc.ts';
import { GrpcCall } from './grpc-call.ts';
import { UnaryEvents } from './grpc-unary.ts';
import type { CallHead, CallOptions, CallReply } from './http.ts';
import { HttpCall } from './http-call.ts';

export { type CallFailure, SideCallError } from './failure.ts';
export type { GrpcEvents, GrpcMethod, GrpcOptions, GrpcReply, GrpcStatus, GrpcStream } from './grpc.ts';
export type { CallHead, CallOptions, CallReply } from './http.ts';

export interface SideCall {
  /**
   * One HTTP request, over HTTP/1.1 where the cluster speaks it, with the cluster's connections, circuit breakers and outlier
   * detection.
   * @param body undefined: none
   * @returns rejects with SideCallError where no whole response comes; any status is a response
   */
  http(cluster: string, head: CallHead, body: Uint8Array | undefined, options: CallOptions): Promise<CallReply>;
  /**
   * One gRPC call of one message each way. The cluster must speak HTTP/2.
   * @param message serialized, without its head
   * @returns rejects with SideCallError where there is no status; any status is a reply
   */
  unary(cluster: string, method: GrpcMethod, message: Uint8Array, options: GrpcOptions): Promise<GrpcReply>;
  /** One gRPC call of any number of messages each way. Its events come after this has returned. */
  stream(cluster: string, method: GrpcMethod, options: GrpcOptions, events: GrpcEvents): GrpcStream;
}

/** @param pool the one that forwarded requests use, so that connections and limits are shared */
export function sideCalls(clusters: ClusterSet, pool: UpstreamPool, clock: Pick<Clock, 'monotonicMs'>): SideCall {
  const timers = new TimerPool(() => clock.monotonicMs());
  return {
    http(cluster, head, body, options) {
      const found = clusters.get(cluster);
      if (!found) return Promise.reject(new SideCallError('cluster_not_found', cluster, 'there is no such cluster'));
      return new Promise((resolve, reject) => {
        new HttpCall(found, pool, timers, head, body, options, { resolve, reject }).start();
      });
    },
    unary(cluster, method, message, options) {
      return new Promise((resolve, reject) => {
        const stream = this.stream(cluster, method, options, new UnaryEvents(resolve, reject));
        stream.send(message);
        stream.end();
      });
    },
    stream(cluster, method, options, events) {
      const found = clusters.get(cluster);
      const call = found ? new GrpcCall(found, pool, timers, method, options, events) : noCall(cluster, events);
      queueMicrotask(() => call.start());
      return call;
    },
  };
}

/** A call to a cluster that does not exist. */
function noCall(cluster: string, events: GrpcEvents): GrpcStream & { start(): void } {
  let isCancelled = false;
  const nothing = () => {};
  return {
    start: () => {
      if (!isCancelled) events.onFailure(new SideCallError('cluster_not_found', cluster, 'there is no such cluster'));
    },
    send: () => true,
    end: nothing,
    pause: nothing,
    resume: nothing,
    cancel: () => {
      isCancelled = true;
    },
  };
}
