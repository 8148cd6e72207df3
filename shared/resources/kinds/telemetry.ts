import { checkTelemetry } from '../checks/telemetry.ts';
import { AGE } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { TelemetrySpec } from '../schema/telemetry.ts';
import { defineIstioKind } from './istio-kind.ts';

export const telemetry = defineIstioKind({
  kind: 'Telemetry',
  group: 'telemetry.istio.io',
  versions: ['v1', 'v1alpha1'],
  plural: 'telemetries',
  shortNames: ['telemetry'],
  spec: TelemetrySpec,
  columns: [AGE],
  description: 'Metrics, access logs and traces of workloads.',
  check: checkTelemetry,
});
export type Telemetry = ResourceOf<typeof telemetry>;
