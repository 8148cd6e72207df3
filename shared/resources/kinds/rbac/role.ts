import { checkRules } from '../../checks/rbac.ts';
import { AGE } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { RoleBody } from '../../schema/rbac.ts';
import { RBAC } from './rbac-kind.ts';

export const role = defineKind({
  ...RBAC,
  kind: 'Role',
  plural: 'roles',
  singular: 'role',
  namespaced: true,
  body: RoleBody,
  check: ({ rules }) => checkRules(rules, true),
  columns: [AGE],
  description: 'What may be done in a namespace of the control API. RoleBindings give it to users.',
});
export type Role = ResourceOf<typeof role>;
