/**
 * Zone-aware routing (envoyproxy.io, "Zone aware routing"): requests stay in the proxy's locality as far as its share of the
 * endpoints allows for the share of the proxies that are there; the rest goes to localities with endpoints to spare.
 */
import type { Endpoint } from '../cluster.ts';
import type { Part } from './priority-set.ts';

/** Percentages are whole hundredths of a percent, as in Envoy. */
const WHOLE = 10_000;

export interface ZoneRules {
  /** The proxy's own, `region/zone/subZone`. */
  readonly locality: string;
  /** Share of the requests that are routed so, 0 to 1. */
  readonly share: number;
  /** Fewer healthy endpoints than these are not divided. */
  readonly minClusterSize: number;
  /** In percent: with fewer healthy proxies than these the division is not used. */
  readonly panicThreshold: number;
  /** The endpoints of the proxies like this one; empty: unknown. */
  proxies(): readonly ZoneMember[];
}

export interface ZoneMember {
  readonly locality: string;
  readonly healthy: boolean;
}

/** Endpoints of one locality that may be used. */
export interface ZoneGroup {
  readonly locality: string;
  readonly hosts: readonly Endpoint[];
}

/**
 * The healthy endpoints of the first priority by locality, weighted.
 * @param groups also those without a healthy endpoint
 * @returns undefined: they are not divided, for the conditions are not met
 */
export function zoneParts(groups: readonly ZoneGroup[], rules: ZoneRules): readonly Part[] | undefined {
  const byLocality = joined(groups);
  const all = [...byLocality.values()].flat();
  if (rules.share <= 0 || byLocality.size < 2 || all.length === 0) return undefined;
  if (all.length < rules.minClusterSize) return undefined;
  const proxies = shareOf(rules);
  if (!proxies) return undefined;
  const endpointsIn = (locality: string) => percent(byLocality.get(locality)?.length ?? 0, all.length);
  const parts = divided([...byLocality.keys()], rules.locality, endpointsIn, proxies).map(({ locality, weight }) => ({
    hosts: byLocality.get(locality) ?? [],
    weight: weight * rules.share,
  }));
  if (rules.share < 1) parts.push({ hosts: all, weight: WHOLE * (1 - rules.share) });
  return parts.filter(({ hosts, weight }) => weight > 0 && hosts.length > 0);
}

function joined(groups: readonly ZoneGroup[]): Map<string, readonly Endpoint[]> {
  const byLocality = new Map<string, readonly Endpoint[]>();
  for (const { locality, hosts } of groups) byLocality.set(locality, [...(byLocality.get(locality) ?? []), ...hosts]);
  return byLocality;
}

/** The share of the proxies by locality; undefined: none is here, or too few are healthy. */
function shareOf({ locality, panicThreshold, proxies }: ZoneRules): ((locality: string) => number) | undefined {
  const members = proxies();
  const healthy = members.filter((member) => member.healthy);
  if (!healthy.some((member) => member.locality === locality)) return undefined;
  if ((100 * healthy.length) / members.length < panicThreshold) return undefined;
  return (wanted) => percent(healthy.filter((member) => member.locality === wanted).length, healthy.length);
}

const percent = (count: number, total: number): number => Math.floor((WHOLE * count) / total);

function divided(
  localities: readonly string[],
  own: string,
  endpoints: (locality: string) => number,
  proxies: (locality: string) => number,
): { locality: string; weight: number }[] {
  const [here, callers] = [endpoints(own), proxies(own)];
  if (here >= callers) return [{ locality: own, weight: WHOLE }];
  const kept = Math.floor((here * WHOLE) / callers);
  const others = localities.filter((locality) => locality !== own);
  const spare = others.map((locality) => Math.max(0, endpoints(locality) - proxies(locality)));
  const total = spare.reduce((sum, one) => sum + one, 0);
  const rest = WHOLE - kept;
  // Without any to spare, as rounding may leave it, all localities share.
  if (total === 0)
    return localities.map((locality) => ({
      locality,
      weight: rest / localities.length + (locality === own ? kept : 0),
    }));
  return [
    { locality: own, weight: kept },
    ...others.map((locality, i) => ({ locality, weight: (rest * spare[i]!) / total })),
  ];
}
