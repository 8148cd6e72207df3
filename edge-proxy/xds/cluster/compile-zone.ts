/** CommonLbConfig.zone_aware_lb_config -> how requests stay in the proxy's zone. */
import type { Cluster as ClusterConfig } from '../../../shared/xds/cluster.ts';
import { ConfigError } from '../../config-error.ts';
import type { ZoneMember, ZoneRules } from '../../upstream/balancing/zone-routing.ts';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';

const PATH = 'commonLbConfig.zoneAwareLbConfig';
const DEFAULT_SIZE = 6;
const NO_MEMBERS: readonly ZoneMember[] = Object.freeze([]);
const DIVIDED: ReadonlySet<string> = new Set(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM']);

/** What a proxy knows of itself and of those like it (bootstrap: cluster_manager.local_cluster_name). */
export interface OwnZone {
  /** `region/zone/subZone`, '' unknown. */
  readonly locality: string;
  /** Clusters without a config of their own divide by zone too, as in an Envoy that has a local cluster. */
  readonly byDefault: boolean;
  /** The cluster whose endpoints are the proxies; undefined: it is not there. */
  localCluster(): Cluster | undefined;
}

/**
 * @param panicThreshold in percent
 * @throws ConfigError naming the field
 */
export function compileZone(
  config: ClusterConfig,
  panicThreshold: number,
  own: OwnZone | undefined,
): ZoneRules | undefined {
  const given = config.commonLbConfig?.zoneAwareLbConfig;
  if (given && config.commonLbConfig?.localityWeightedLbConfig)
    throw new ConfigError(PATH, 'excludes localityWeightedLbConfig');
  if (given?.failTrafficOnPanic) throw new ConfigError(`${PATH}.failTrafficOnPanic`, 'is not supported');
  const percent = given?.routingEnabled === undefined ? 100 : (given.routingEnabled.value ?? 0);
  if (!(percent >= 0 && percent <= 100)) throw new ConfigError(`${PATH}.routingEnabled`, 'must be 0 to 100');
  const { lbPolicy = 'ROUND_ROBIN' } = config;
  const weighs = config.commonLbConfig?.localityWeightedLbConfig !== undefined;
  if (!own || own.locality === '' || !(given || own.byDefault) || percent === 0 || weighs || !DIVIDED.has(lbPolicy))
    return undefined;
  return {
    locality: own.locality,
    share: percent / 100,
    minClusterSize: given?.minClusterSize ?? DEFAULT_SIZE,
    panicThreshold,
    proxies: membersOf(own),
  };
}

/** The same list while the local cluster has the same endpoints. */
function membersOf(own: OwnZone): () => readonly ZoneMember[] {
  let seen: readonly Endpoint[] | undefined;
  let members = NO_MEMBERS;
  return () => {
    const local = own.localCluster();
    const endpoints = local?.endpoints();
    if (endpoints === seen) return members;
    seen = endpoints;
    members = (endpoints ?? []).map((endpoint) => ({
      locality: endpoint.locality,
      healthy: !['UNHEALTHY', 'DRAINING', 'TIMEOUT'].includes(local!.health?.(endpoint).eds ?? 'UNKNOWN'),
    }));
    return members;
  };
}
