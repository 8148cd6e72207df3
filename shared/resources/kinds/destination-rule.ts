import { checkDestinationRule } from '../checks/destination-rule.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { DestinationRuleSpec } from '../schema/destination-rule.ts';
import { defineIstioKind, NETWORKING_VERSIONS } from './istio-kind.ts';

export const destinationRule = defineIstioKind({
  kind: 'DestinationRule',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  plural: 'destinationrules',
  shortNames: ['dr'],
  spec: DestinationRuleSpec,
  columns: [column('Host', '.spec.host', 'Host the rule applies to'), AGE],
  description:
    'Settings for traffic to a service once it is routed: subsets, load balancing, connection pools, outlier detection and TLS.',
  check: checkDestinationRule,
});
export type DestinationRule = ResourceOf<typeof destinationRule>;
