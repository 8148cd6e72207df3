import { checkEnvoyFilter } from '../checks/envoy/envoy-filter.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { EnvoyFilterSpec } from '../schema/envoy-filter.ts';
import { defineIstioKind } from './istio-kind.ts';

export const envoyFilter = defineIstioKind({
  kind: 'EnvoyFilter',
  group: 'networking.istio.io',
  versions: ['v1alpha3'],
  plural: 'envoyfilters',
  shortNames: [],
  spec: EnvoyFilterSpec,
  columns: [AGE],
  description: 'Patches to the config that proxies are given, for what no other kind can say.',
  check: checkEnvoyFilter,
});
export type EnvoyFilter = ResourceOf<typeof envoyFilter>;
