import { checkBinding } from '../../checks/rbac.ts';
import { AGE, column } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { BindingBody } from '../../schema/rbac.ts';
import { RBAC } from './rbac-kind.ts';

export const clusterRoleBinding = defineKind({
  ...RBAC,
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
  singular: 'clusterrolebinding',
  namespaced: false,
  body: BindingBody,
  check: (resource) => checkBinding(resource, false),
  columns: [column('Role', '.roleRef.name', 'The role that is given'), AGE],
  description: 'Gives a ClusterRole to users, groups and service accounts, in every namespace and for the cluster.',
});
export type ClusterRoleBinding = ResourceOf<typeof clusterRoleBinding>;
