/** tulle.discovery.v1.IndexedHost: that a host exists, for proxies that fetch hosts on demand. */
import type { z } from 'zod';
import { list, messageRequiring, nonEmpty, string, uint32 } from './message.ts';

const IndexedPort = messageRequiring({ number: uint32(), protocol: string() }, ['number']);

/** The name is `<route configuration>/<virtual host>`, the resource's; the domains are those that it has there. */
export const IndexedVirtualHost = messageRequiring({ name: nonEmpty(), domains: list(nonEmpty()) }, [
  'name',
  'domains',
]);
export type IndexedVirtualHost = z.infer<typeof IndexedVirtualHost>;

export const IndexedHost = messageRequiring(
  {
    /** The host, in full. */
    name: nonEmpty(),
    ports: list(IndexedPort),
    /** Virtual IPs and CIDR ranges. */
    addresses: list(nonEmpty()),
    virtualHosts: list(IndexedVirtualHost),
  },
  ['name'],
);
export type IndexedHost = z.infer<typeof IndexedHost>;
