import { checkAuthorizationPolicy } from '../checks/authorization-policy.ts';
import { AGE, column } from '../describe/columns.ts';
import type { ResourceOf } from '../kind.ts';
import { AuthorizationPolicySpec } from '../schema/authorization-policy.ts';
import { defineIstioKind, SECURITY_VERSIONS } from './istio-kind.ts';

export const authorizationPolicy = defineIstioKind({
  kind: 'AuthorizationPolicy',
  group: 'security.istio.io',
  versions: SECURITY_VERSIONS,
  plural: 'authorizationpolicies',
  shortNames: ['ap'],
  spec: AuthorizationPolicySpec,
  columns: [column('Action', '.spec.action', 'What happens when a rule matches'), AGE],
  description: 'Decides which requests and connections workloads accept, by source, operation and conditions.',
  check: checkAuthorizationPolicy,
});
export type AuthorizationPolicy = ResourceOf<typeof authorizationPolicy>;
