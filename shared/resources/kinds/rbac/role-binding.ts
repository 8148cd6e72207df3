import { checkBinding } from '../../checks/rbac.ts';
import { AGE, column } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { BindingBody } from '../../schema/rbac.ts';
import { RBAC } from './rbac-kind.ts';

export const roleBinding = defineKind({
  ...RBAC,
  kind: 'RoleBinding',
  plural: 'rolebindings',
  singular: 'rolebinding',
  namespaced: true,
  body: BindingBody,
  check: (resource) => checkBinding(resource, true),
  columns: [column('Role', '.roleRef.name', 'The role that is given'), AGE],
  description: 'Gives a Role or a ClusterRole to users, groups and service accounts, in its namespace.',
});
export type RoleBinding = ResourceOf<typeof roleBinding>;
