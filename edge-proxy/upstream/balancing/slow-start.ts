/** Envoy's slow start (envoyproxy.io: "Slow start mode"): a new endpoint's weight grows over a window. */

import type { Endpoint } from '../cluster.ts';
import type { WeightOf } from './load-balancers.ts';

export interface SlowStart {
  readonly windowMs: number;
  /** 1 grows evenly; above, faster at the beginning. */
  readonly aggression: number;
  /** 0 to 1. */
  readonly minimumShare: number;
}

/**
 * @param now monotonic milliseconds
 * @param since when a host joined, or was found healthy again
 */
export function warmingWeight(options: SlowStart, now: () => number, since: (host: Endpoint) => number): WeightOf {
  const { windowMs, aggression, minimumShare } = options;
  // One reading of the clock per millisecond would do; a host past its window costs a comparison.
  return (host) => {
    const age = now() - since(host);
    if (age >= windowMs) return host.weight;
    const progress = Math.max(age, 1) / windowMs;
    return host.weight * Math.max(aggression === 1 ? progress : progress ** (1 / aggression), minimumShare);
  };
}
