import { checkTrafficExtension } from '../checks/traffic-extension.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { TrafficExtensionSpec } from '../schema/traffic-extension.ts';
import { defineIstioKind } from './istio-kind.ts';

export const trafficExtension = defineIstioKind({
  kind: 'TrafficExtension',
  group: 'extensions.istio.io',
  versions: ['v1alpha1'],
  plural: 'trafficextensions',
  shortNames: [],
  spec: TrafficExtensionSpec,
  columns: [AGE],
  description: 'A WebAssembly or Lua extension in the traffic path of proxies.',
  check: checkTrafficExtension,
  specRequired: true,
});
export type TrafficExtension = ResourceOf<typeof trafficExtension>;
