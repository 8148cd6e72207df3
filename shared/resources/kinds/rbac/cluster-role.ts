import { checkRules } from '../../checks/rbac.ts';
import { AGE } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { ClusterRoleBody } from '../../schema/rbac.ts';
import { RBAC } from './rbac-kind.ts';

export const clusterRole = defineKind({
  ...RBAC,
  kind: 'ClusterRole',
  plural: 'clusterroles',
  singular: 'clusterrole',
  namespaced: false,
  body: ClusterRoleBody,
  check: ({ rules }) => checkRules(rules, false),
  columns: [AGE],
  description:
    'What may be done in the control API. ClusterRoleBindings give it to users everywhere, RoleBindings in a namespace.',
});
export type ClusterRole = ResourceOf<typeof clusterRole>;
