/** DestinationRule `consistentHash` -> the cluster's hashing balancer and its routes' hash policy. */
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { HashPolicy } from '../../../shared/xds/route.ts';
import { type Fields, fields, numeric, objects, text } from '../../mesh/fields.ts';
import { protoDuration } from '../durations.ts';
import { type Destinations, trafficPolicy } from './destination-rule.ts';

const DEFAULT_RING_SIZE = 1024;

export function applyConsistentHash(cluster: Cluster, hash: Fields): void {
  if (hash['maglev'] !== undefined) {
    cluster.lbPolicy = 'MAGLEV';
    const tableSize = numeric(fields(hash['maglev'])['tableSize']);
    if (tableSize) cluster.maglevLbConfig = { tableSize };
    return;
  }
  cluster.lbPolicy = 'RING_HASH';
  const ring = numeric(fields(hash['ringHash'])['minimumRingSize']);
  const minimumRingSize =
    (hash['ringHash'] === undefined ? numeric(hash['minimumRingSize']) : ring) || DEFAULT_RING_SIZE;
  cluster.ringHashLbConfig = { minimumRingSize };
}

/** What the hash of a request to this policy's destination is made of; undefined: nothing is hashed. */
export function hashPolicy(policy: Fields): HashPolicy | undefined {
  const hash = fields(fields(policy['loadBalancer'])['consistentHash']);
  const headerName = text(hash['httpHeaderName']);
  if (headerName) return { header: { headerName } };
  if (hash['httpCookie'] !== undefined) return { cookie: cookieOf(fields(hash['httpCookie'])) };
  if (hash['useSourceIp'] === true) return { connectionProperties: { sourceIp: true } };
  const name = text(hash['httpQueryParameterName']);
  return name ? { queryParameter: { name } } : undefined;
}

function cookieOf(cookie: Fields): NonNullable<HashPolicy['cookie']> {
  const path = text(cookie['path']);
  const ttl = protoDuration(cookie['ttl']);
  const attributes = objects(cookie['attributes']).map((one) => ({
    name: text(one['name']) ?? '',
    ...(text(one['value']) && { value: text(one['value']) }),
  }));
  return {
    name: text(cookie['name']) ?? '',
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
  const service = destinations.service(hostname);
  const servicePort = service?.ports.find((item) => item.number === port);
  const rule = service && destinations.rule(service);
  if (!servicePort || !rule) return undefined;
  const subset = rule.subsets.find((item) => item.name === subsetName);
  return hashPolicy(trafficPolicy(rule, servicePort, subset));
}
