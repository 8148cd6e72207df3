/** `/clusters` of several workers as one: counts are added up, an endpoint has its worst health. */
import type { ClusterState, HostState } from '../admin/clusters.ts';
import type { EndpointHealth, EndpointStats } from '../upstream/cluster.ts';

/** In the order of the first worker that has a cluster, or an endpoint (DNS may have given workers different ones). */
export function mergeClusters(all: readonly (readonly ClusterState[])[]): ClusterState[] {
  return [...grouped(all.flat(), ({ name }) => name).values()].map((states) => ({
    ...states[0]!,
    hosts: [
      ...grouped(
        states.flatMap(({ hosts }) => hosts),
        ({ id, priority }) => `${priority} ${id}`,
      ).values(),
    ].map((hosts) => hosts.reduce(mergeHosts)),
  }));
}

function grouped<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

function mergeHosts(a: HostState, b: HostState): HostState {
  const health = mergeHealth(a.health, b.health);
  return { ...a, active: a.active + b.active, stats: mergeStats(a.stats, b.stats), ...(health && { health }) };
}

function mergeStats(a: EndpointStats, b: EndpointStats): EndpointStats {
  return {
    cxActive: a.cxActive + b.cxActive,
    cxTotal: a.cxTotal + b.cxTotal,
    cxConnectFail: a.cxConnectFail + b.cxConnectFail,
    rqTotal: a.rqTotal + b.rqTotal,
    rqSuccess: a.rqSuccess + b.rqSuccess,
    rqError: a.rqError + b.rqError,
    rqTimeout: a.rqTimeout + b.rqTimeout,
  };
}

function mergeHealth(a: EndpointHealth | undefined, b: EndpointHealth | undefined): EndpointHealth | undefined {
  if (!a || !b) return a ?? b;
  return {
    ...a,
    failedActiveCheck: a.failedActiveCheck || b.failedActiveCheck,
    failedOutlierCheck: a.failedOutlierCheck || b.failedOutlierCheck,
    activeCheckTimedOut: a.activeCheckTimedOut || b.activeCheckTimedOut,
    degradedActiveCheck: a.degradedActiveCheck || b.degradedActiveCheck,
  };
}
