/** ORIGINAL_DST and dynamic forward proxy clusters -> how a request finds its endpoint. */
import type { Cluster as ClusterConfig } from '../../../shared/xds/cluster.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { BalancedCluster } from '../../upstream/cluster-balanced.ts';
import { DynamicForward, type HostMaker, locateOriginal } from '../../upstream/located-cluster.ts';

const ORIGINAL_LIMITS = { maxHosts: 4096, hostTtlMs: 60_000 };

/** @param secure connections are TLS: the default port is 443 */
export function locateEndpoints(
  config: ClusterConfig,
  cluster: BalancedCluster,
  deps: { resolve: Runtime['resolve']; now(): number },
  secure: boolean,
  make: HostMaker,
): void {
  const dynamic = dynamicForward(config);
  if (dynamic) {
    const { resolveDestination } = new DynamicForward(cluster, forwardOptions(dynamic, secure), deps, make);
    cluster.resolveDestination = resolveDestination;
  } else if (config.type === 'ORIGINAL_DST') {
    const given = config.originalDstLbConfig;
    if (given?.httpHeaderName && !given.useHttpHeader)
      throw new ConfigError('originalDstLbConfig.httpHeaderName', 'needs useHttpHeader');
    const header = given?.useHttpHeader ? (given.httpHeaderName ?? 'x-envoy-original-dst-host') : undefined;
    cluster.resolveDestination = locateOriginal(cluster, header?.toLowerCase(), ORIGINAL_LIMITS, deps.now, make);
  }
}

type DynamicConfig = NonNullable<NonNullable<ClusterConfig['clusterType']>['typedConfig']>;

export function dynamicForward(config: ClusterConfig): DynamicConfig | undefined {
  return config.clusterType?.typedConfig;
}

function forwardOptions({ dnsCacheConfig: cache = { name: '' } }: DynamicConfig, secure: boolean) {
  const refreshMs = cache.dnsRefreshRate ? durationMs(cache.dnsRefreshRate) : 60_000;
  const path = 'clusterType.typedConfig.dnsCacheConfig';
  if (refreshMs < 1000) throw new ConfigError(`${path}.dnsRefreshRate`, 'must be at least 1s');
  const maxHosts = cache.maxHosts ?? 1024;
  if (maxHosts < 1) throw new ConfigError(`${path}.maxHosts`, 'must be at least 1');
  const failure = cache.dnsFailureRefreshRate?.baseInterval;
  return {
    family: cache.dnsLookupFamily ?? 'AUTO',
    refreshMs,
    failureMs: failure ? durationMs(failure) : Math.min(refreshMs, 5000),
    hostTtlMs: cache.hostTtl ? durationMs(cache.hostTtl) : 300_000,
    maxHosts,
    defaultPort: secure ? 443 : 80,
    lookupTimeoutMs: cache.dnsQueryTimeout ? durationMs(cache.dnsQueryTimeout) : 5000,
  };
}
