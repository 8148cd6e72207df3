import { checkVirtualService } from '../checks/routes/virtual-service.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { VirtualServiceSpec } from '../schema/virtual-service.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const virtualService = defineIstioKind({
  kind: 'VirtualService',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'virtualservices',
  shortNames: ['vs'],
  spec: VirtualServiceSpec,
  columns: [
    column('Gateways', '.spec.gateways', 'Gateways and mesh the routes apply to'),
    column('Hosts', '.spec.hosts', 'Destination hosts the routes apply to'),
    AGE,
  ],
  description:
    'How requests for hosts are routed: matching, splitting by weight, retries, timeouts, rewrites, redirects, violations and mirrors.',
  check: checkVirtualService,
});
export type VirtualService = ResourceOf<typeof virtualService>;
