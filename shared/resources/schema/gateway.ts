/** The schema of Gateway's spec, field for field (istio.io/latest/docs/reference/config/networking/gateway). */
import type { z } from 'zod';
import { ServerTls } from './common.ts';
import { integer, list, map, object, string } from './vocabulary.ts';

const uint32 = () => integer({ min: 0, max: 4294967295 });

export const ServerPort = object(
  {
    name: string().describe('Name of the port; no two servers have the same.'),
    number: uint32().describe('Port to listen on, 1 to 65535.'),
    protocol: string().describe(
      'HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP or MONGO. HTTPS is terminated here, TLS need not be.',
    ),
    targetPort: uint32().describe('Port of the gateway workload, where a service maps it. Deprecated, not used.'),
  },
  ['number', 'protocol', 'name'],
);
export type ServerPort = z.infer<typeof ServerPort>;

export const Server = object(
  {
    bind: string().describe('Address to listen on, or unix:///path. Default: every address.'),
    defaultEndpoint: string().describe('Not used: kept so that older resources are accepted.'),
    hosts: list(
      string().describe('Domain name, as *.example.com; namespace/ before it limits whose routes it takes.'),
    ).describe('Hosts the server is for: with TLS matched with the SNI, with HTTP also with the Host header.'),
    name: string().describe('Name of the server, in statistics and route names. Must not be used twice.'),
    port: ServerPort.describe('Port it listens on.'),
    tls: ServerTls.describe('TLS of the server; required with HTTPS and TLS.'),
  },
  ['port', 'hosts'],
);
export type Server = z.infer<typeof Server>;

export const GatewaySpec = object({
  selector: map(string()).describe(
    'Labels of the gateway workloads, in every namespace (or only its own, by a setting of the control plane).',
  ),
  servers: list(Server).describe('What the gateway listens for.'),
});
export type GatewaySpec = z.infer<typeof GatewaySpec>;
