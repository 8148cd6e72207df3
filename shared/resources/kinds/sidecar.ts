import { checkSidecar } from '../checks/sidecar.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { SidecarSpec } from '../schema/sidecar.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const sidecar = defineIstioKind({
  kind: 'Sidecar',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'sidecars',
  shortNames: [],
  spec: SidecarSpec,
  columns: [AGE],
  description: 'What a sidecar listens on and which services it can reach.',
  check: checkSidecar,
});
export type Sidecar = ResourceOf<typeof sidecar>;
