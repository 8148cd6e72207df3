/** What the fields of AuthorizationPolicy do. */
import { differs, type FieldTable, inForce } from '../field-table.ts';
import { STATUS } from './status.ts';

const SEMANTICS = 'control/compile/security/rbac-semantics.test.ts';

export const AUTHORIZATION_POLICY_FIELDS: FieldTable = {
  ...STATUS,
  'spec.action': differs('CUSTOM is not compiled yet: it denies', 'golden:authz-audit', SEMANTICS),
  'spec.provider.**': differs(
    'CUSTOM is not compiled yet: it denies',
    'control/compile/security/authorization.test.ts',
  ),
  'spec.rules[].**': inForce(SEMANTICS, 'golden:authz-deny-not', 'golden:authz-allow-http', 'golden:authz-audit'),
  'spec.selector.**': inForce('golden:authz-scopes'),
  'spec.targetRef.**': inForce('control/compile/security/authorization.test.ts'),
  'spec.targetRefs[].**': inForce('control/compile/security/authorization.test.ts'),
};
