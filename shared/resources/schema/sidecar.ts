/** The schema of Sidecar's spec, field for field (istio.io/latest/docs/reference/config/networking/sidecar). */
import type { z } from 'zod';
import { ConnectionPool, Destination, ServerTls, WorkloadSelector } from './common.ts';
import { integer, list, object, oneOfNames, string } from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const EgressPort = object({
  name: string().describe('Name of the port.'),
  number: uint32().describe('Port number, 1 to 65535.'),
  protocol: string().describe('HTTP, HTTPS, HTTP2, GRPC, TLS, TCP or MONGO. Default: found out from the traffic.'),
  targetPort: uint32().describe('Not used: kept so that older resources are accepted.'),
});
export type EgressPort = z.infer<typeof EgressPort>;

const captureMode = () => oneOfNames(['DEFAULT', 'IPTABLES', 'NONE']);

export const Egress = object(
  {
    bind: string().describe(
      'Address to listen on, or unix:///path. Default: the addresses of the services where traffic is captured, else 127.0.0.1.',
    ),
    captureMode: captureMode().describe(
      'Whether traffic is captured (IPTABLES) or the application calls the listener itself (NONE). Default: DEFAULT, as the proxy is set up.',
    ),
    hosts: list(string().describe('namespace/host, each may be *; "." is the own namespace, "~" none.')).describe(
      'Services the workload can reach through this listener.',
    ),
    port: EgressPort.describe('Port to listen on. Default: every port of the hosts no other listener has.'),
  },
  ['hosts'],
);
export type Egress = z.infer<typeof Egress>;

export const Ingress = object(
  {
    bind: string().describe('Address to listen on. Default: the address of the workload.'),
    captureMode: captureMode().describe(
      'Whether traffic is captured (IPTABLES) or comes to the listener itself (NONE). Default: DEFAULT, as the proxy is set up.',
    ),
    connectionPool: ConnectionPool.describe('Limits for this port, in place of inboundConnectionPool.'),
    defaultEndpoint: string().describe(
      'Where the application is: 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT (the address of the workload) or unix:///path. Default: the same port of the workload.',
    ),
    port: EgressPort.describe('Port to listen on.'),
    tls: ServerTls.describe('TLS ended here for clients outside the mesh; needs mTLS to be DISABLE on the port.'),
  },
  ['port'],
);
export type Ingress = z.infer<typeof Ingress>;

export const OutboundTrafficPolicy = object({
  egressProxy: Destination.describe('Service that traffic to unknown hosts is sent through; with ALLOW_ANY.'),
  mode: oneOfNames(['REGISTRY_ONLY', 'ALLOW_ANY']).describe(
    'Whether hosts unknown to the mesh can be reached. Default: as in the mesh config, ALLOW_ANY there.',
  ),
});
export type OutboundTrafficPolicy = z.infer<typeof OutboundTrafficPolicy>;

export const SidecarSpec = object({
  egress: list(Egress).describe('Listeners for traffic leaving the workload. Default: one for every visible service.'),
  inboundConnectionPool: ConnectionPool.describe(
    'Limits for traffic to the workload. Default: those of the DestinationRule of its service.',
  ),
  ingress: list(Ingress).describe('Listeners for traffic to the workload. Default: one for each port of its services.'),
  outboundTrafficPolicy: OutboundTrafficPolicy.describe('What happens to traffic for hosts the mesh does not know.'),
  workloadSelector: WorkloadSelector.describe(
    'The workloads of the namespace it is for, by labels. Default: all without a Sidecar of their own.',
  ),
});
export type SidecarSpec = z.infer<typeof SidecarSpec>;
