/** Cluster.lbPolicy and its settings -> a balancer. */
import type { Cluster as ClusterConfig, SlowStartConfig } from '../../../shared/xds/cluster.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import type { Balancer } from '../../upstream/balancing/balancer.ts';
import { DrawingBalancer, HashingBalancer, maglevMaker, ringMaker } from '../../upstream/balancing/balancer.ts';
import { type HashKey, isPrime } from '../../upstream/balancing/hash-table.ts';
import { chooser, type Policy, type WeightOf } from '../../upstream/balancing/load-balancers.ts';
import { warmingWeight } from '../../upstream/balancing/slow-start.ts';
import type { Endpoint } from '../../upstream/cluster.ts';
import type { Host } from '../../upstream/host.ts';

/** Envoy's limit; a larger ring would hold a runtime's only thread for seconds. */
const LARGEST_RING = 8_388_608;
const LARGEST_MAGLEV = 5_000_011;

export interface BalancerDeps {
  /** Monotonic milliseconds. */
  now(): number;
  /** In [0, 1). */
  random(): number;
}

/**
 * @param overprovisioning in percent
 * @throws ConfigError for settings that are not supported or out of Envoy's bounds
 */
export function compileBalancer(config: ClusterConfig, overprovisioning: number, deps: BalancerDeps): Balancer {
  const { random } = deps;
  if (config.lbPolicy === 'RING_HASH') return new HashingBalancer(ringOf(config), random);
  if (config.lbPolicy === 'MAGLEV') return new HashingBalancer(maglevOf(config), random);
  const policy: Policy =
    config.lbPolicy === 'LEAST_REQUEST' || config.lbPolicy === 'RANDOM' ? config.lbPolicy : 'ROUND_ROBIN';
  const choiceCount = config.leastRequestLbConfig?.choiceCount ?? 2;
  if (choiceCount < 2) throw new ConfigError('leastRequestLbConfig.choiceCount', 'must be at least 2');
  const activeRequestBias = config.leastRequestLbConfig?.activeRequestBias?.defaultValue ?? 1;
  if (activeRequestBias < 0) throw new ConfigError('leastRequestLbConfig.activeRequestBias', 'must not be negative');
  const choose = chooser(policy, { random, choiceCount, activeRequestBias, weightOf: warming(config, policy, deps) });
  return new DrawingBalancer(choose, random, () => overprovisioning);
}

function warming(config: ClusterConfig, policy: Policy, deps: BalancerDeps): WeightOf | undefined {
  const [path, slow]: [string, SlowStartConfig | undefined] =
    policy === 'LEAST_REQUEST'
      ? ['leastRequestLbConfig.slowStartConfig', config.leastRequestLbConfig?.slowStartConfig]
      : ['roundRobinLbConfig.slowStartConfig', config.roundRobinLbConfig?.slowStartConfig];
  if (!slow || policy === 'RANDOM') return undefined;
  const windowMs = slow.slowStartWindow ? durationMs(slow.slowStartWindow) : 0;
  if (windowMs <= 0) return undefined;
  const aggression = slow.aggression?.defaultValue ?? 1;
  if (!(aggression > 0)) throw new ConfigError(`${path}.aggression`, 'must be above 0');
  const minimum = slow.minWeightPercent === undefined ? 10 : (slow.minWeightPercent.value ?? 0);
  if (!(minimum >= 0 && minimum <= 100)) throw new ConfigError(`${path}.minWeightPercent`, 'must be 0 to 100');
  return warmingWeight(
    { windowMs, aggression, minimumShare: minimum / 100 },
    deps.now,
    (host) => (host as Host).state.since,
  );
}

/** The key by which Envoy hashes a host: its metadata's `envoy.lb.hash_key`, its name or its address. */
function hashKey(config: ClusterConfig): HashKey {
  const common = config.commonLbConfig?.consistentHashingLbConfig;
  if (common?.hashBalanceFactor)
    throw new ConfigError('commonLbConfig.consistentHashingLbConfig.hashBalanceFactor', 'is not supported');
  const byName = common?.useHostnameForHashing ?? false;
  return (host: Endpoint) => {
    const own = host.metadata?.['envoy.lb']?.['hash_key'];
    if (typeof own === 'string' && own !== '') return own;
    return byName && host.hostname !== '' ? host.hostname : host.id;
  };
}

function ringOf(config: ClusterConfig) {
  const { minimumRingSize = 1024, maximumRingSize = LARGEST_RING, hashFunction } = config.ringHashLbConfig ?? {};
  if (hashFunction === 'MURMUR_HASH_2')
    throw new ConfigError('ringHashLbConfig.hashFunction', 'MURMUR_HASH_2 is not supported; use XX_HASH');
  for (const [name, size] of Object.entries({ minimumRingSize, maximumRingSize }))
    if (size < 1 || size > LARGEST_RING)
      throw new ConfigError(`ringHashLbConfig.${name}`, `must be 1 to ${LARGEST_RING}`);
  if (minimumRingSize > maximumRingSize)
    throw new ConfigError('ringHashLbConfig.minimumRingSize', 'must not be above maximumRingSize');
  return ringMaker(hashKey(config), minimumRingSize, maximumRingSize);
}

function maglevOf(config: ClusterConfig) {
  const size = config.maglevLbConfig?.tableSize ?? 65537;
  if (size > LARGEST_MAGLEV || !isPrime(size))
    throw new ConfigError('maglevLbConfig.tableSize', `must be a prime number, at most ${LARGEST_MAGLEV}`);
  return maglevMaker(hashKey(config), size);
}
