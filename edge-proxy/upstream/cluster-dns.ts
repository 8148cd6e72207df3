/** Keeps the addresses of a host name fresh; a failed look-up keeps the last good ones. */
import type { Cluster as ClusterConfig } from '../../shared/xds/cluster.ts';
import { durationMs } from '../../shared/xds/message.ts';
import type { Runtime } from '../runtime/runtime.ts';

/** Envoy's default refresh rate. */
const defaultRefreshMs = 5000;
const shortestRefreshMs = 1000;

/**
 * @param resolved where the addresses go, by host name
 * @param changed called when they differ from before
 * @returns stop
 */
export function resolvePeriodically(
  host: string,
  config: ClusterConfig,
  { resolve, random }: Pick<Runtime, 'resolve' | 'random'>,
  resolved: Map<string, readonly string[]>,
  changed: () => void,
): () => void {
  const rateMs = config.dnsRefreshRate ? durationMs(config.dnsRefreshRate) : defaultRefreshMs;
  const failureMs = config.dnsFailureRefreshRate ? durationMs(config.dnsFailureRefreshRate.baseInterval) : rateMs;
  const longest = config.dnsFailureRefreshRate?.maxInterval;
  const longestFailureMs = longest === undefined ? failureMs * 10 : durationMs(longest);
  const jitterMs = config.dnsJitter ? durationMs(config.dnsJitter) : 0;
  let failures = 0;
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = (ttl: number | undefined) => {
    if (stopped) return;
    const ms = config.respectDnsTtl && ttl !== undefined ? ttl * 1000 : rateMs;
    timer = setTimeout(look, Math.min(Math.max(ms, shortestRefreshMs) + random() * jitterMs, 0x7fffffff));
  };
  /** Fully jittered: proxies that lost one resolver must not come back as one. */
  const afterFailure = () => {
    if (stopped) return;
    failures++;
    const ceiling = config.dnsFailureRefreshRate
      ? random() * Math.min(failureMs * 2 ** Math.min(failures, 20), longestFailureMs)
      : rateMs;
    timer = setTimeout(look, Math.min(Math.max(ceiling, shortestRefreshMs), 0x7fffffff));
  };
  const look = () => {
    resolve(host).then(({ addresses, ttl }) => {
      if (stopped) return;
      const wanted = byFamily(addresses, config.dnsLookupFamily ?? 'AUTO');
      const before = resolved.get(host);
      if (wanted.length > 0 && (before === undefined || before.join() !== wanted.join())) {
        resolved.set(host, wanted);
        changed();
      }
      failures = 0;
      again(ttl);
    }, afterFailure);
  };
  look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

export type AddressFamily = NonNullable<ClusterConfig['dnsLookupFamily']>;

/** Sorted, so that resolvers that rotate their answers change nothing. */
export function byFamily(addresses: readonly string[], family: AddressFamily): string[] {
  const v4 = addresses.filter((address) => !address.includes(':')).sort();
  const v6 = addresses.filter((address) => address.includes(':')).sort();
  switch (family) {
    case 'V4_ONLY':
      return v4;
    case 'V6_ONLY':
      return v6;
    case 'ALL':
      return [...v4, ...v6];
    case 'V4_PREFERRED':
      return v4.length > 0 ? v4 : v6;
    default:
      return v6.length > 0 ? v6 : v4;
  }
}
