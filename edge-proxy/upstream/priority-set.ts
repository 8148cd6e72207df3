/**
 * Which endpoints of a cluster take traffic: priorities with Envoy's overprovisioning, localities by weight, and panic
 * mode when too few are healthy. Computed when health or membership changes, not per request.
 */
import type { Endpoint } from './cluster.ts';

/** A group of endpoints that takes `load` of the traffic, 0 to 1. */
export interface Share {
  readonly hosts: readonly Endpoint[];
  readonly load: number;
}

export interface LocalityGroup {
  readonly priority: number;
  /** 0: no weight given. */
  readonly weight: number;
  readonly hosts: readonly Endpoint[];
}

export interface PriorityOptions {
  /** 1.4: a priority takes all traffic until fewer than 1/1.4 of its hosts are healthy. */
  readonly overprovisioning: number;
  /** 0 to 1; below this share of healthy hosts all hosts of a priority are used. 0: never. */
  readonly panicThreshold: number;
  readonly weighLocalities: boolean;
}

export function shares(
  groups: readonly LocalityGroup[],
  usable: (host: Endpoint) => boolean,
  options: PriorityOptions,
): readonly Share[] {
  const out: Share[] = [];
  let left = 1;
  const levels = byPriority(groups);
  const health = levels.map((level) => Math.min(1, options.overprovisioning * healthyShare(level, usable)));
  const total = Math.min(
    1,
    health.reduce((sum, h) => sum + h, 0),
  );
  for (const [i, level] of levels.entries()) {
    // With too little health overall the loads are scaled up to make a whole.
    const load = total === 0 ? (i === 0 ? 1 : 0) : Math.min(left, health[i]! / total);
    left -= load;
    if (load <= 0) continue;
    const panic = total < 1 && healthyShare(level, usable) < options.panicThreshold;
    out.push(...levelShares(level, panic ? () => true : usable, load, options));
  }
  return out;
}

function byPriority(groups: readonly LocalityGroup[]): LocalityGroup[][] {
  const levels = new Map<number, LocalityGroup[]>();
  for (const group of groups) {
    if (group.hosts.length === 0) continue;
    const level = levels.get(group.priority);
    if (level) level.push(group);
    else levels.set(group.priority, [group]);
  }
  return [...levels.entries()].sort(([a], [b]) => a - b).map(([, level]) => level);
}

function healthyShare(level: readonly LocalityGroup[], usable: (host: Endpoint) => boolean): number {
  let all = 0;
  let healthy = 0;
  for (const { hosts } of level) {
    all += hosts.length;
    for (const host of hosts) if (usable(host)) healthy++;
  }
  return all === 0 ? 0 : healthy / all;
}

function levelShares(
  level: readonly LocalityGroup[],
  usable: (host: Endpoint) => boolean,
  load: number,
  options: PriorityOptions,
): Share[] {
  const weighed = options.weighLocalities && level.some((group) => group.weight > 0);
  if (!weighed) {
    const hosts = level.flatMap((group) => group.hosts.filter(usable));
    return hosts.length > 0 ? [{ hosts, load }] : [];
  }
  const parts = level
    .map((group) => {
      const hosts = group.hosts.filter(usable);
      const available = Math.min(1, (options.overprovisioning * hosts.length) / group.hosts.length);
      return { hosts, weight: group.weight * available };
    })
    .filter((part) => part.weight > 0);
  const sum = parts.reduce((total, part) => total + part.weight, 0);
  return parts.map((part) => ({ hosts: part.hosts, load: (load * part.weight) / sum }));
}
