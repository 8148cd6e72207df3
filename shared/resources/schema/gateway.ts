/** The schema of Gateway's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { ServerTls } from './common.ts';
import { integer, list, map, object, string } from './vocabulary.ts';

export const ServerPort = object(
  {
    name: string(),
    number: integer({ min: 0, max: 4294967295 }),
    protocol: string(),
    targetPort: integer({ min: 0, max: 4294967295 }),
  },
  ['number', 'protocol', 'name'],
);
export type ServerPort = z.infer<typeof ServerPort>;

export const Server = object(
  {
    bind: string(),
    defaultEndpoint: string(),
    hosts: list(string()),
    name: string(),
    port: ServerPort,
    tls: ServerTls,
  },
  ['port', 'hosts'],
);
export type Server = z.infer<typeof Server>;

export const GatewaySpec = object({
  selector: map(string()),
  servers: list(Server),
});
export type GatewaySpec = z.infer<typeof GatewaySpec>;
