/** Envoy's circuit breakers (config.cluster.v3.CircuitBreakers), one set of limits and counts per routing priority. */
import type { Cluster as ClusterConfig } from '../../shared/xds/cluster.ts';
import { durationMs } from '../../shared/xds/message.ts';
import { ConfigError } from '../config-error.ts';
import type { Circuit, Limits } from './cluster.ts';

export type RoutingPriority = 'DEFAULT' | 'HIGH';

/** @throws ConfigError for two thresholds of one priority, or a budget out of bounds */
export function compileLimits(config: ClusterConfig, priority: RoutingPriority = 'DEFAULT'): Limits {
  const all = config.circuitBreakers?.thresholds ?? [];
  // As in Envoy, the first of a priority counts.
  const found = all.find((threshold) => (threshold.priority ?? 'DEFAULT') === priority);
  const budget = found?.retryBudget;
  const percent = budget?.budgetPercent === undefined ? 20 : (budget.budgetPercent.value ?? 0);
  if (budget && !(percent >= 0 && percent <= 100))
    throw new ConfigError('circuitBreakers.thresholds.retryBudget.budgetPercent', 'must be 0 to 100');
  return {
    maxConnections: found?.maxConnections ?? 1024,
    maxPendingRequests: found?.maxPendingRequests ?? 1024,
    maxRequests: found?.maxRequests ?? 1024,
    maxRetries: found?.maxRetries ?? 3,
    trackRemaining: found?.trackRemaining ?? false,
    retryBudget: budget && {
      percent,
      minConcurrency: budget.minRetryConcurrency ?? 3,
      intervalMs: budget.budgetInterval === undefined ? 0 : durationMs(budget.budgetInterval),
    },
  };
}

/**
 * How many retries may be under way now: a budget is a share of all requests under way, or of those that began in its
 * interval where these are more.
 */
export function retryLimit({ limits, use, recent }: Circuit): number {
  const { retryBudget } = limits;
  if (!retryBudget) return limits.maxRetries;
  const considered = Math.max(use.requests + use.pending, recent?.total ?? 0);
  const share = Math.floor((retryBudget.percent / 100) * considered);
  return Math.max(share, retryBudget.minConcurrency);
}

export function mayRetry(circuit: Circuit): boolean {
  return circuit.use.retries < retryLimit(circuit);
}
