/** Envoy's circuit breakers (config.cluster.v3.CircuitBreakers) of the DEFAULT priority. */

import type { Cluster as ClusterConfig } from '../../shared/xds/cluster.ts';
import { ConfigFault } from '../config/config-fault.ts';
import type { Cluster } from './cluster.ts';

/** @throws ConfigFault for a retry budget */
export function compileLimits(config: ClusterConfig): Cluster['limits'] {
  const thresholds = config.circuitBreakers?.thresholds ?? [];
  if (thresholds.some((threshold) => threshold.retryBudget)) {
    throw new ConfigFault('circuitBreakers.thresholds', 'retryBudget is not supported; use maxRetries');
  }
  const found = thresholds.find((threshold) => (threshold.priority ?? 'DEFAULT') === 'DEFAULT');
  return {
    maxConnections: found?.maxConnections ?? 1024,
    maxPendingRequests: found?.maxPendingRequests ?? 1024,
    maxRequests: found?.maxRequests ?? 1024,
    maxRetries: found?.maxRetries ?? 3,
  };
}
