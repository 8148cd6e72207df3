/** What the fields of AuthorizationPolicy do. */
import { type FieldTable, inForce } from '../field-table.ts';
import { STATUS } from './status.ts';

const SEMANTICS = 'control/compile/security/rbac-semantics.test.ts';

export const AUTHORIZATION_POLICY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.action': inForce('golden:authz-audit', 'golden:authz-custom-grpc', SEMANTICS),
  'spec.provider.**': inForce(
    'golden:authz-custom-grpc',
    'golden:authz-custom-http',
    'golden:authz-custom-missing',
    'control/compile/security/custom.test.ts',
  ),
  'spec.rules[].**': inForce(SEMANTICS, 'golden:authz-deny-not', 'golden:authz-allow-http', 'golden:authz-audit'),
  'spec.selector.**': inForce('golden:authz-scopes'),
  'spec.targetRef.**': inForce('control/compile/security/authorization.test.ts'),
  'spec.targetRefs[].**': inForce('control/compile/security/authorization.test.ts'),
};
