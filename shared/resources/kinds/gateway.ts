import { checkGateway } from '../checks/gateway.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { GatewaySpec } from '../schema/gateway.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const gateway = defineIstioKind({
  kind: 'Gateway',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'gateways',
  shortNames: ['gw'],
  spec: GatewaySpec,
  columns: [AGE],
  description:
    'What a proxy at the edge of the mesh listens for: ports, hosts and TLS. VirtualServices bound to it say where requests go.',
  check: checkGateway,
});
export type Gateway = ResourceOf<typeof gateway>;
