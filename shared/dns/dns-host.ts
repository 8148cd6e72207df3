/**
 * tulle.discovery.v1.DnsHost: a host name that proxies with a DNS server answer, as an entry of Istio's NameTable (NDS). Only
 * hosts that have an address are sent.
 */
import type { z } from 'zod';
import { bool, list, messageRequiring, nonEmpty, string, uint32 } from '../xds/message.ts';

const DnsPort = messageRequiring({ number: uint32(), name: string(), protocol: string() }, ['number']);

/** An endpoint of a headless service that has a host name of its own, `<hostname>.<service's host>`. */
const DnsInstance = messageRequiring({ hostname: nonEmpty(), addresses: list(nonEmpty()) }, ['hostname', 'addresses']);

export const DnsHost = messageRequiring(
  {
    /** In full; `*.` in front matches any labels. */
    name: nonEmpty(),
    /** It is a service in the domain of its namespace, as Kubernetes' are: also `reviews`, `reviews.shop` and `reviews.shop.svc` name it. */
    service: bool(),
    /** Virtual IPs; of a headless service the addresses of its endpoints. */
    addresses: list(nonEmpty()),
    ports: list(DnsPort),
    instances: list(DnsInstance),
  },
  ['name', 'addresses'],
);
export type DnsHost = z.infer<typeof DnsHost>;
