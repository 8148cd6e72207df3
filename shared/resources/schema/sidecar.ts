/** The schema of Sidecar's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { ConnectionPool, Destination, ServerTls, WorkloadSelector } from './common.ts';
import { integer, list, object, oneOfNames, string } from './vocabulary.ts';

export const EgressPort = object({
  name: string(),
  number: integer({ min: 0, max: 4294967295 }),
  protocol: string(),
  targetPort: integer({ min: 0, max: 4294967295 }),
});
export type EgressPort = z.infer<typeof EgressPort>;

export const Egress = object(
  {
    bind: string(),
    captureMode: oneOfNames(['DEFAULT', 'IPTABLES', 'NONE']),
    hosts: list(string()),
    port: EgressPort,
  },
  ['hosts'],
);
export type Egress = z.infer<typeof Egress>;

export const Ingress = object(
  {
    bind: string(),
    captureMode: oneOfNames(['DEFAULT', 'IPTABLES', 'NONE']),
    connectionPool: ConnectionPool,
    defaultEndpoint: string(),
    port: EgressPort,
    tls: ServerTls,
  },
  ['port'],
);
export type Ingress = z.infer<typeof Ingress>;

export const OutboundTrafficPolicy = object({
  egressProxy: Destination,
  mode: oneOfNames(['REGISTRY_ONLY', 'ALLOW_ANY']),
});
export type OutboundTrafficPolicy = z.infer<typeof OutboundTrafficPolicy>;

export const SidecarSpec = object({
  egress: list(Egress),
  inboundConnectionPool: ConnectionPool,
  ingress: list(Ingress),
  outboundTrafficPolicy: OutboundTrafficPolicy,
  workloadSelector: WorkloadSelector,
});
export type SidecarSpec = z.infer<typeof SidecarSpec>;
