/**
 * The endpoints of a cluster in their priorities and localities, and which of them may be used. Computed when health or
 * membership changes, not per request.
 */
import type { Endpoint } from '../cluster.ts';
import { type PriorityCounts, type PriorityPlan, planPriorities } from './priority-load.ts';
import { type ZoneRules, zoneParts } from './zone-routing.ts';

export type Health = 'healthy' | 'degraded' | 'unhealthy';

export interface LocalityGroup {
  readonly priority: number;
  /** `region/zone/subZone`; absent: unknown. */
  readonly locality?: string;
  /** 0: no weight given. */
  readonly weight: number;
  readonly hosts: readonly Endpoint[];
}

export interface PriorityOptions {
  /** In percent, 140: a priority takes all traffic until fewer than 1/1.4 of its hosts are healthy. */
  readonly overprovisioning: number;
  /** In percent; below this share of healthy hosts all hosts of a priority are used. 0: never. */
  readonly panicThreshold: number;
  readonly weighLocalities: boolean;
  /** Of balancers that draw: requests stay in the proxy's zone; absent: zones do not count. */
  readonly zone?: ZoneRules | undefined;
}

/** Hosts of one locality and its weight in its priority. */
export interface Part {
  readonly hosts: readonly Endpoint[];
  readonly weight: number;
}

/** One priority. */
export interface Level {
  readonly panic: boolean;
  /** The localities that have hosts, or one part with all hosts where localities are not weighed. */
  readonly healthy: readonly Part[];
  readonly degraded: readonly Part[];
  /** What a hash ring is made of: with the weights as configured, not lowered by missing hosts. */
  readonly ring: readonly Part[];
}

export interface Levels {
  readonly levels: readonly Level[];
  readonly counts: readonly PriorityCounts[];
  readonly plan: PriorityPlan;
  /** The only hosts there are to choose from; undefined where a choice of priority or locality comes first. */
  readonly only: readonly Endpoint[] | undefined;
}

export function buildLevels(
  groups: readonly LocalityGroup[],
  healthOf: (host: Endpoint) => Health,
  options: PriorityOptions,
): Levels {
  const byPriority = levelGroups(groups);
  const counts = byPriority.map((level) => countOf(level, healthOf));
  const plan = planPriorities(counts, options.overprovisioning, options.panicThreshold);
  const levels = byPriority.map((level, i) => {
    const made = levelOf(level, plan.panic[i]!, healthOf, options);
    return i === 0 && options.zone && !made.panic ? inZone(made, level, healthOf, options.zone) : made;
  });
  return { levels, counts, plan, only: onlyHosts(levels, plan) };
}

/** The first priority, with its healthy hosts divided by zone where that applies. */
function inZone(
  made: Level,
  level: readonly LocalityGroup[],
  healthOf: (host: Endpoint) => Health,
  rules: ZoneRules,
): Level {
  const groups = level.map(({ locality = '', hosts }) => ({
    locality,
    hosts: hosts.filter((host) => healthOf(host) === 'healthy'),
  }));
  const healthy = zoneParts(groups, rules);
  return healthy ? { ...made, healthy } : made;
}

function levelGroups(groups: readonly LocalityGroup[]): LocalityGroup[][] {
  const levels: LocalityGroup[][] = [];
  for (const group of groups) {
    while (levels.length <= group.priority) levels.push([]);
    levels[group.priority]!.push(group);
  }
  return levels;
}

function countOf(level: readonly LocalityGroup[], healthOf: (host: Endpoint) => Health): PriorityCounts {
  const count = { total: 0, healthy: 0, degraded: 0 };
  for (const { hosts } of level)
    for (const host of hosts) {
      count.total++;
      const health = healthOf(host);
      if (health !== 'unhealthy') count[health]++;
    }
  return count;
}

function levelOf(
  level: readonly LocalityGroup[],
  panic: boolean,
  healthOf: (host: Endpoint) => Health,
  options: PriorityOptions,
): Level {
  const flat = (wanted: (host: Endpoint) => boolean): Part[] => {
    const hosts = level.flatMap((group) => group.hosts.filter(wanted));
    return hosts.length > 0 ? [{ hosts, weight: 1 }] : [];
  };
  const weighed = options.weighLocalities && level.some((group) => group.weight > 0);
  const ringOf = (wanted: (host: Endpoint) => boolean): Part[] => {
    if (!weighed) return flat(wanted);
    // An empty locality keeps its share of the whole, as in Envoy.
    return level.map(({ hosts, weight }) => ({ hosts: hosts.filter(wanted), weight }));
  };
  if (panic) {
    // All hosts alike, whatever their locality.
    const all = flat(() => true);
    return { panic, healthy: all, degraded: all, ring: ringOf(() => true) };
  }
  const having = (health: Health) => (host: Endpoint) => healthOf(host) === health;
  const ring = ringOf(having('healthy'));
  if (!weighed) return { panic, healthy: flat(having('healthy')), degraded: flat(having('degraded')), ring };
  return {
    panic,
    healthy: localityParts(level, having('healthy'), options.overprovisioning),
    degraded: localityParts(level, having('degraded'), options.overprovisioning),
    ring,
  };
}

/** A locality that lost hosts gives up traffic once the overprovisioning is used up. */
function localityParts(
  level: readonly LocalityGroup[],
  wanted: (host: Endpoint) => boolean,
  overprovisioning: number,
): Part[] {
  return level
    .map((group) => {
      const hosts = group.hosts.filter(wanted);
      const share = group.hosts.length === 0 ? 0 : hosts.length / group.hosts.length;
      return { hosts, weight: group.weight * Math.min(1, (overprovisioning / 100) * share) };
    })
    .filter((part) => part.weight > 0);
}

function onlyHosts(levels: readonly Level[], plan: PriorityPlan): readonly Endpoint[] | undefined {
  const first = levels[0];
  if (!first) return [];
  if (plan.loads.healthy[0] !== 100) return undefined;
  if (first.healthy.length > 1) return undefined;
  return first.healthy[0]?.hosts ?? [];
}
