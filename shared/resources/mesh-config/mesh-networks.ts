/** MeshNetworks: which endpoints are in which network and the gateways between them; key `meshNetworks` beside `mesh`. */
import type { z } from 'zod';
import { atMostOne, integer, list, map, object, string } from '../schema/vocabulary.ts';

const Network = object({
  endpoints: list(
    atMostOne(
      object({
        fromCidr: string().describe('Endpoints by their address, as CIDR.'),
        fromRegistry: string().describe('All endpoints of a registry (cluster).'),
      }),
      ['fromCidr', 'fromRegistry'],
    ),
  ).describe('The endpoints that reach one another directly.'),
  gateways: list(
    atMostOne(
      object({
        registryServiceName: string().describe('The gateway as a service, fully qualified.'),
        address: string().describe('The gateway as an IP address or DNS name.'),
        port: integer().describe('Port for traffic from other networks, always mTLS.'),
        locality: string().describe('Where the gateway is, as `region/zone/subzone`.'),
      }),
      ['registryServiceName', 'address'],
    ),
  ).describe('Where traffic of other networks comes in.'),
});

export const MeshNetworks = object({ networks: map(Network).describe('Networks by name.') });
export type MeshNetworks = z.infer<typeof MeshNetworks>;
