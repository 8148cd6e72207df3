/** Where a call of the proxy's own goes: the endpoint that its cluster chooses, within the limit of its requests. */
import type { Cluster, Endpoint, Located } from '../../upstream/cluster.ts';
import type { RequestHead } from '../message/message.ts';
import type { CallFailure } from './failure.ts';

/** A call that waits for its endpoint. */
export interface PlacedCall {
  /** It is no longer wanted. */
  readonly over: boolean;
  /** Possibly before `placeCall` returns. @param endpoint as a request for the authority sees it */
  onPlaced(endpoint: Endpoint): void;
  fail(reason: CallFailure, detail: string): void;
}

export function placeCall(
  cluster: Cluster,
  { authority, headers }: Pick<RequestHead, 'authority' | 'headers'>,
  call: PlacedCall,
): void {
  const found = cluster.resolveDestination
    ? cluster.resolveDestination(authority, headers)
    : cluster.pick(undefined, undefined);
  if (found instanceof Promise) void found.then((located) => begin(cluster, located, authority, call));
  else begin(cluster, found, authority, call);
}

function begin(cluster: Cluster, found: Located, authority: string, call: PlacedCall): void {
  if (call.over) return;
  const { use, limits } = cluster;
  if (typeof found !== 'object') call.fail('no_healthy_upstream', found ?? 'no healthy endpoint');
  else if (use.requests >= limits.maxRequests) call.fail('overflow', 'the circuit breaker for requests is open');
  else call.onPlaced(cluster.secured?.(found, authority) ?? found);
}
