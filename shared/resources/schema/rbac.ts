/** Schemas of rbac.authorization.k8s.io/v1 (kubernetes.io/docs/reference/kubernetes-api/authorization-resources). */
import * as z from 'zod';
import { list, map, object, oneOfNames, string } from './vocabulary.ts';

export const PolicyRule = object(
  {
    verbs: list(string()).describe(
      'What may be done: get, list, watch, create, update, patch, delete, deletecollection, impersonate, bind, escalate, or * for all.',
    ),
    apiGroups: list(string()).describe('API groups of the resources; "" is the core group, * all.'),
    resources: list(string()).describe(
      'Plural names; with a subresource as serviceaccounts/token, that of all as */status, or * for all.',
    ),
    resourceNames: list(string()).describe('Names of the objects. Default: every object.'),
    nonResourceURLs: list(string()).describe(
      'Paths that are no resources, the last step may be *. In a ClusterRole only, without resources.',
    ),
  },
  ['verbs'],
);

const LabelSelector = object({
  matchLabels: map(string()).describe('Labels that a ClusterRole must have.'),
  matchExpressions: list(
    object(
      {
        key: string().describe('Key of the label.'),
        operator: oneOfNames(['In', 'NotIn', 'Exists', 'DoesNotExist']).describe('How the label is compared.'),
        values: list(string()).describe('Values of In and NotIn.'),
      },
      ['key', 'operator'],
    ),
  ).describe('Conditions on labels, all of which must hold.'),
});

const AggregationRule = object({
  clusterRoleSelectors: list(LabelSelector).describe('ClusterRoles that any of these selects give their rules.'),
});

const Subject = object(
  {
    kind: string().describe('User, Group or ServiceAccount.'),
    apiGroup: string().describe(
      'rbac.authorization.k8s.io of users and groups, "" of service accounts. Default: that of the kind.',
    ),
    name: string().describe('Name of the subject.'),
    namespace: string().describe('Namespace of a service account.'),
  },
  ['kind', 'name'],
);

const RoleRef = object(
  {
    apiGroup: string().describe('rbac.authorization.k8s.io. Default: that.'),
    kind: string().describe('Role, of the same namespace, or ClusterRole.'),
    name: string().describe('Name of the role.'),
  },
  ['kind', 'name'],
);

const rules = () => list(PolicyRule).describe('What it allows; roles allow only, they deny nothing.').optional();

export const RoleBody = z.strictObject({ rules: rules() });
export const ClusterRoleBody = z.strictObject({
  rules: rules(),
  aggregationRule: AggregationRule.describe('The rules are those of other ClusterRoles, kept up to date.').optional(),
});
export const BindingBody = z.strictObject({
  subjects: list(Subject).describe('Who gets the role.').optional(),
  roleRef: RoleRef.describe('The role. It cannot be changed: delete the binding and create it again.'),
});
export type PolicyRule = z.infer<typeof PolicyRule>;
export type BindingBody = z.infer<typeof BindingBody>;
