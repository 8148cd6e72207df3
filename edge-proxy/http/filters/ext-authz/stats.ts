/**
 * Envoy's counters of ext_authz (envoyproxy.io: External Authorization, Statistics): those of the filter, and those of the
 * cluster that the request is for, `cluster.<name>.ext_authz.…`.
 */
import type { Cluster } from '../../../upstream/cluster.ts';
import type { ClusterCounters } from '../grpc-method-stats.ts';

const COUNTERS = [
  'ok',
  'denied',
  'error',
  'invalid',
  'disabled',
  'failure_mode_allowed',
  'ignored_dynamic_metadata',
] as const;
export type AuthzCounter = (typeof COUNTERS)[number];

interface Counter {
  value: number;
}

/** Counts for one filter. */
export type CountVerdict = (what: AuthzCounter) => void;

/** @param counter of a name behind the connection manager's; undefined: nothing reads them */
export function verdictCounts(counter: ((name: string) => Counter) | undefined, statPrefix: string): CountVerdict {
  if (!counter) return () => {};
  const counters = new Map(COUNTERS.map((name) => [name, counter(`ext_authz.${prefixOf(statPrefix)}${name}`)]));
  return (what) => {
    counters.get(what)!.value++;
  };
}

function prefixOf(statPrefix: string): string {
  return statPrefix === '' ? '' : `${statPrefix.replace(/\.$/, '')}.`;
}

const OUTCOMES = ['ok', 'denied', 'error', 'disabled', 'failure_mode_allowed'] as const;
/** What became of a request; `failure_mode_allowed` is an error, too. */
export type Outcome = (typeof OUTCOMES)[number];

/** Counts for the cluster of a request. */
export type CountOutcome = (cluster: Cluster, outcome: Outcome) => void;

/** @param counters undefined: nothing reads them, and there is nothing to call */
export function clusterCounts(counters: ClusterCounters | undefined, statPrefix: string): CountOutcome | undefined {
  if (!counters) return undefined;
  const known = new WeakMap<Cluster, Record<Outcome, Counter>>();
  const make = (cluster: Cluster): Record<Outcome, Counter> => {
    const of = (name: Outcome) => [name, counters.counter(cluster.name, `ext_authz.${prefixOf(statPrefix)}${name}`)];
    const made = Object.fromEntries(OUTCOMES.map(of)) as Record<Outcome, Counter>;
    known.set(cluster, made);
    return made;
  };
  // Most requests of a filter are for the cluster of the one before.
  let last: { readonly cluster: Cluster; readonly of: Record<Outcome, Counter> } | undefined;
  return (cluster, outcome) => {
    if (last?.cluster !== cluster) last = { cluster, of: known.get(cluster) ?? make(cluster) };
    last.of[outcome].value++;
    if (outcome === 'failure_mode_allowed') last.of.error.value++;
  };
}
