/**
 * How traffic is divided among the priorities of a cluster, in Envoy's whole percents (envoyproxy.io: load balancing,
 * "priority levels", "degraded endpoints", "panic threshold").
 */

/** Percent of the traffic by priority; all of both lists together are 100. */
export interface PriorityLoads {
  readonly healthy: readonly number[];
  readonly degraded: readonly number[];
}

/** What is there at one priority. */
export interface PriorityCounts {
  readonly total: number;
  readonly healthy: number;
  readonly degraded: number;
}

export interface PriorityPlan {
  readonly loads: PriorityLoads;
  /** Priorities that use all their hosts, healthy or not. */
  readonly panic: readonly boolean[];
}

/**
 * @param overprovisioning in percent, 140: a priority takes all traffic until fewer than 1/1.4 of its hosts are healthy
 * @param panicThreshold in percent; 0: never
 */
export function planPriorities(
  counts: readonly PriorityCounts[],
  overprovisioning: number,
  panicThreshold: number,
): PriorityPlan {
  const healthy = counts.map((count) => available(count.healthy, count.total, overprovisioning));
  const degraded = counts.map((count) => available(count.degraded, count.total, overprovisioning));
  const total = totalAvailability(healthy, degraded);
  // Too little health anywhere: a level below the threshold uses all its hosts.
  const panic = counts.map((count) => total < 100 && healthyPercent(count) < panicThreshold);
  if (counts.length > 0 && panic.every((one) => one)) return { loads: byHostCount(counts), panic };
  return { loads: distributeLoads(healthy, degraded) ?? allToFirst(counts.length), panic };
}

/**
 * The division for a retry that keeps away from `excluded` priorities.
 * @returns undefined when nothing is available then
 */
export function loadsWithout(
  counts: readonly PriorityCounts[],
  overprovisioning: number,
  excluded: ReadonlySet<number>,
): PriorityLoads | undefined {
  const at = (pick: (count: PriorityCounts) => number) =>
    counts.map((count, i) => (excluded.has(i) ? 0 : available(pick(count), count.total, overprovisioning)));
  return distributeLoads(
    at((count) => count.healthy),
    at((count) => count.degraded),
  );
}

/**
 * Envoy's LoadBalancerBase::choosePriority.
 * @param point 1 to 100
 */
export function choosePriority(loads: PriorityLoads, point: number): { priority: number; degraded: boolean } {
  let sum = 0;
  for (const [priority, load] of loads.healthy.entries()) {
    sum += load;
    if (point <= sum) return { priority, degraded: false };
  }
  for (const [priority, load] of loads.degraded.entries()) {
    sum += load;
    if (point <= sum) return { priority, degraded: true };
  }
  return { priority: 0, degraded: false };
}

function available(count: number, total: number, overprovisioning: number): number {
  return total === 0 ? 0 : Math.min(100, Math.floor((overprovisioning * count) / total));
}

function healthyPercent({ healthy, degraded, total }: PriorityCounts): number {
  return total === 0 ? 0 : (100 * (healthy + degraded)) / total;
}

function totalAvailability(healthy: readonly number[], degraded: readonly number[]): number {
  return Math.min(
    100,
    [...healthy, ...degraded].reduce((sum, one) => sum + one, 0),
  );
}

function distributeLoads(healthy: readonly number[], degraded: readonly number[]): PriorityLoads | undefined {
  const total = totalAvailability(healthy, degraded);
  if (total === 0) return undefined;
  let left = 100;
  const take = (availability: number): number => {
    const load = Math.min(left, Math.floor((availability * 100) / total));
    left -= load;
    return load;
  };
  const loads = { healthy: healthy.map(take), degraded: degraded.map(take) };
  // What is left is rounding: it goes to the first priority that has anything.
  const first = healthy.findIndex((one) => one > 0);
  if (first >= 0) loads.healthy[first]! += left;
  else loads.degraded[degraded.findIndex((one) => one > 0)]! += left;
  return loads;
}

function byHostCount(counts: readonly PriorityCounts[]): PriorityLoads {
  const total = counts.reduce((sum, count) => sum + count.total, 0);
  if (total === 0) return allToFirst(counts.length);
  const healthy = counts.map((count) => Math.floor((100 * count.total) / total));
  healthy[counts.findIndex((count) => count.total > 0)]! += 100 - healthy.reduce((sum, load) => sum + load, 0);
  return { healthy, degraded: counts.map(() => 0) };
}

/** Nothing is available and nothing panics: requests will find no host. */
function allToFirst(length: number): PriorityLoads {
  const zeros = new Array<number>(length).fill(0);
  return { healthy: zeros.map((_, i) => (i === 0 ? 100 : 0)), degraded: zeros };
}
