import { checkServiceEntry } from '../checks/service-entry.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { ServiceEntrySpec } from '../schema/service-entry.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const serviceEntry = defineIstioKind({
  kind: 'ServiceEntry',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'serviceentries',
  shortNames: ['se'],
  spec: ServiceEntrySpec,
  columns: [
    column('Hosts', '.spec.hosts', 'Hosts of the service'),
    column('Location', '.spec.location', 'Inside or outside the mesh'),
    column('Resolution', '.spec.resolution', 'How endpoints are found'),
    AGE,
  ],
  description: 'A service that the platform does not know: outside the mesh, or of workloads such as virtual machines.',
  check: checkServiceEntry,
  specRequired: true,
});
export type ServiceEntry = ResourceOf<typeof serviceEntry>;
