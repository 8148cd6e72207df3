/** DestinationRule `consistentHash` -> the cluster's hashing balancer and its routes' hash policy. */
import type { ConsistentHash, HttpCookie, TrafficPolicy } from '../../../shared/resources/schema/destination-rule.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { HashPolicy } from '../../../shared/xds/route.ts';
import { protoDuration } from '../durations.ts';
import { type Destinations, trafficPolicy } from './destination-rule.ts';

const DEFAULT_RING_SIZE = 1024;

export function applyConsistentHash(cluster: Cluster, hash: ConsistentHash): void {
  if (hash.maglev) {
    cluster.lbPolicy = 'MAGLEV';
    const { tableSize } = hash.maglev;
    if (tableSize) cluster.maglevLbConfig = { tableSize };
    return;
  }
  cluster.lbPolicy = 'RING_HASH';
  const { minimumRingSize: size } = hash.ringHash ?? hash;
  const minimumRingSize = size || DEFAULT_RING_SIZE;
  cluster.ringHashLbConfig = { minimumRingSize };
}

/** What the hash of a request to this policy's destination is made of; undefined: nothing is hashed. */
export function hashPolicy(policy: TrafficPolicy): HashPolicy | undefined {
  const hash = policy.loadBalancer?.consistentHash ?? {};
  const { httpHeaderName: headerName, httpQueryParameterName: name } = hash;
  if (headerName) return { header: { headerName } };
  if (hash.httpCookie) return { cookie: cookieOf(hash.httpCookie) };
  if (hash.useSourceIp) return { connectionProperties: { sourceIp: true } };
  return name ? { queryParameter: { name } } : undefined;
}

function cookieOf({ name, path, ttl: written, attributes: all = [] }: HttpCookie): NonNullable<HashPolicy['cookie']> {
  const ttl = protoDuration(written);
  const attributes = all.map((one) => ({ name: one.name, ...(one.value && { value: one.value }) }));
  return {
    name,
    ...(ttl !== undefined && { ttl }),
    ...(path && { path }),
    ...(attributes.length > 0 && { attributes }),
  };
}

/** The hash policy of a destination as routes name it: host, port, subset. */
export function destinationHashPolicy(
  destinations: Destinations,
  hostname: string,
  port: number,
  subsetName: string | undefined,
): HashPolicy | undefined {
  const policy = destinationPolicy(destinations, hostname, port, subsetName);
  return policy && hashPolicy(policy);
}

/** The traffic policy of a destination as routes name it; undefined: it has none. */
export function destinationPolicy(
  destinations: Destinations,
  hostname: string,
  port: number,
  subsetName: string | undefined,
): TrafficPolicy | undefined {
  const service = destinations.service(hostname);
  const servicePort = service?.ports.find((item) => item.number === port);
  const rule = service && destinations.rule(service);
  if (!servicePort || !rule) return undefined;
  const subset = rule.subsets.find((item) => item.name === subsetName);
  return trafficPolicy(rule, servicePort, subset);
}
