/** Where a call of the proxy's own goes: the endpoint that its cluster chooses, within the limit of its requests. */
import type { Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { CallFailure } from './failure.ts';

export interface Placement {
  readonly authority: string;
  readonly headers: HeaderMap;
  /** It is no longer wanted. */
  readonly over: () => boolean;
  /** Possibly before `placeCall` returns. @param endpoint as a request for the authority sees it */
  begin(endpoint: Endpoint): void;
  fail(reason: CallFailure, detail: string): void;
}

export function placeCall(cluster: Cluster, call: Placement): void {
  const found = cluster.resolveDestination
    ? cluster.resolveDestination(call.authority, call.headers)
    : cluster.pick(undefined, undefined);
  if (found instanceof Promise) void found.then((located) => begin(cluster, located, call));
  else begin(cluster, found, call);
}

function begin(cluster: Cluster, found: Located, call: Placement): void {
  if (call.over()) return;
  const { use, limits } = cluster;
  if (typeof found !== 'object') call.fail('no_healthy_upstream', found ?? 'no healthy endpoint');
  else if (use.requests >= limits.maxRequests) call.fail('overflow', 'the circuit breaker for requests is open');
  else call.begin(cluster.secured?.(found, call.authority) ?? found);
}
