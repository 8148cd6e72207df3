/**
 * The roles that exist from the start (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles).
 * They are resources: what is missing of them is added at each start, unless the annotation
 * `rbac.authorization.kubernetes.io/autoupdate` is "false".
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type ResourceStore, StoreError } from '../../store/store.ts';
import { CONTROL_GROUP } from '../permissions.ts';
import { AUTHENTICATED, MASTERS } from '../user.ts';
import { notCovered, type PolicyRule } from './policy-rule.ts';
import { RBAC_GROUP } from './rbac-index.ts';

const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';

/** Kinds of Istio that a team of a namespace writes. EnvoyFilter and WasmPlugin run code in proxies: mesh-admin alone. */
const MESH: Readonly<Record<string, readonly string[]>> = {
  'networking.istio.io': [
    'virtualservices',
    'destinationrules',
    'gateways',
    'serviceentries',
    'workloadentries',
    'workloadgroups',
    'sidecars',
    'proxyconfigs',
  ],
  'security.istio.io': ['authorizationpolicies', 'peerauthentications', 'requestauthentications'],
  'telemetry.istio.io': ['telemetries'],
};
const MESH_GROUPS = [
  'networking.istio.io',
  'security.istio.io',
  'telemetry.istio.io',
  'extensions.istio.io',
  'tulle.dev',
];
const CORE = ['services', 'configmaps', 'serviceaccounts'];
const SLICES = 'discovery.k8s.io';
const EVENTS = 'events.k8s.io';

const meshRules = (verbs: readonly string[]): PolicyRule[] =>
  Object.entries(MESH).map(([group, resources]) => ({ apiGroups: [group], resources, verbs }));

const withHistory = (resources: readonly string[]) => resources.flatMap((each) => [each, `${each}/history`]);
const withStatus = (resources: readonly string[]) => resources.flatMap((each) => [each, `${each}/status`]);

/** No Secrets: who reads them has the identities of gateways and of others. */
const VIEW: PolicyRule[] = [
  { apiGroups: [''], resources: [...withHistory([...CORE, 'namespaces']), 'events'], verbs: READ },
  { apiGroups: [SLICES], resources: withHistory(['endpointslices']), verbs: READ },
  { apiGroups: [EVENTS], resources: ['events'], verbs: READ },
  ...MESH_GROUPS.map((group) => ({ apiGroups: [group], resources: ['*'], verbs: READ })),
  { apiGroups: [CONTROL_GROUP], resources: ['proxies', 'rollouts'], verbs: READ },
];
const EDIT: PolicyRule[] = [
  { apiGroups: [''], resources: withHistory(['secrets']), verbs: READ },
  { apiGroups: [''], resources: [...CORE, 'secrets', 'events'], verbs: WRITE },
  { apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] },
  { apiGroups: [SLICES], resources: ['endpointslices'], verbs: WRITE },
  { apiGroups: [EVENTS], resources: ['events'], verbs: WRITE },
  ...meshRules(WRITE),
  { apiGroups: [CONTROL_GROUP], resources: ['rollouts/decide'], verbs: ['create'] },
];
const ADMIN: PolicyRule[] = [
  { apiGroups: [RBAC_GROUP], resources: ['roles', 'rolebindings'], verbs: [...READ, ...WRITE] },
  { apiGroups: [RBAC_GROUP], resources: ['roles/history', 'rolebindings/history'], verbs: ['get'] },
  { apiGroups: ['authorization.k8s.io'], resources: ['localsubjectaccessreviews'], verbs: ['create'] },
  { apiGroups: [CONTROL_GROUP], resources: ['jointokens'], verbs: ['create', 'list', 'delete'] },
  { apiGroups: [CONTROL_GROUP], resources: ['invitations'], verbs: ['create'] },
  { apiGroups: [CONTROL_GROUP], resources: ['revocations'], verbs: ['create', 'list'] },
];
/** The whole mesh, its machines and its certificates, but not users and what they may do, nor Secrets. */
const MESH_ADMIN: PolicyRule[] = [
  { apiGroups: MESH_GROUPS, resources: ['*'], verbs: [...READ, ...WRITE] },
  { apiGroups: [''], resources: [...withStatus([...CORE, 'namespaces']), 'events'], verbs: [...READ, ...WRITE] },
  { apiGroups: [''], resources: [...CORE, 'namespaces'].map((each) => `${each}/history`), verbs: ['get'] },
  { apiGroups: [SLICES], resources: ['endpointslices'], verbs: [...READ, ...WRITE] },
  { apiGroups: [SLICES], resources: ['endpointslices/history'], verbs: ['get'] },
  { apiGroups: [EVENTS], resources: ['events'], verbs: [...READ, ...WRITE] },
  {
    apiGroups: [CONTROL_GROUP],
    resources: [
      'jointokens',
      'invitations',
      'revocations',
      'joins',
      'joins/revoke',
      'certificateauthorities',
      'certificateauthorities/rotate',
      'certificateauthorities/retire',
      'proxies',
      'proxies/config',
      'rollouts',
      'rollouts/decide',
      'scrapetargets',
      'scrapetokens',
    ],
    verbs: ['create', 'get', 'list', 'delete'],
  },
];
const DISCOVERY = ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', '/version', '/version/'];
const HEALTH = ['/healthz', '/healthz/*', '/livez', '/livez/*', '/readyz', '/readyz/*'];
const SELF_REVIEWS: PolicyRule[] = [
  {
    apiGroups: ['authorization.k8s.io'],
    resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
    verbs: ['create'],
  },
  { apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'], verbs: ['create'] },
];

const aggregated = (name: string, to?: string) =>
  clusterRole(name, [], to === undefined ? {} : { [aggregateTo(to)]: 'true' }, {
    clusterRoleSelectors: [{ matchLabels: { [aggregateTo(name)]: 'true' } }],
  });
const aggregateTo = (name: string) => `rbac.authorization.k8s.io/aggregate-to-${name}`;

const BUILTIN: readonly Resource[] = [
  clusterRole('cluster-admin', [
    { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
    { nonResourceURLs: ['*'], verbs: ['*'] },
  ]),
  aggregated('view', 'edit'),
  aggregated('edit', 'admin'),
  aggregated('admin'),
  clusterRole('system:aggregate-to-view', VIEW, { [aggregateTo('view')]: 'true' }),
  clusterRole('system:aggregate-to-edit', EDIT, { [aggregateTo('edit')]: 'true' }),
  clusterRole('system:aggregate-to-admin', ADMIN, { [aggregateTo('admin')]: 'true' }),
  clusterRole('mesh-admin', MESH_ADMIN),
  clusterRole('system:discovery', [{ nonResourceURLs: [...DISCOVERY, ...HEALTH], verbs: ['get'] }]),
  clusterRole('system:basic-user', SELF_REVIEWS),
  clusterRoleBinding('cluster-admin', MASTERS),
  clusterRoleBinding('system:discovery', AUTHENTICATED),
  clusterRoleBinding('system:basic-user', AUTHENTICATED),
];

function clusterRole(
  name: string,
  rules: readonly PolicyRule[],
  labels: Record<string, string> = {},
  aggregationRule?: object,
): Resource {
  return {
    apiVersion: `${RBAC_GROUP}/v1`,
    kind: 'ClusterRole',
    metadata: { name, labels: { ...LABELS, ...labels }, annotations: { [AUTOUPDATE]: 'true' } },
    ...(aggregationRule && { aggregationRule }),
    rules,
  } as Resource;
}

/** Of a role to a group, both of the binding's name. */
function clusterRoleBinding(name: string, group: string): Resource {
  return {
    apiVersion: `${RBAC_GROUP}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name, labels: LABELS, annotations: { [AUTOUPDATE]: 'true' } },
    subjects: [{ apiGroup: RBAC_GROUP, kind: 'Group', name: group }],
    roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name },
  } as Resource;
}

/** Creates built-in roles and bindings that are missing, and adds rules and subjects that they lack. @throws StoreError */
export async function createBuiltinRoles(store: Pick<ResourceStore, 'get' | 'create' | 'update'>): Promise<void> {
  for (const builtin of BUILTIN) {
    const plural = builtin.kind === 'ClusterRole' ? 'clusterroles' : 'clusterrolebindings';
    const key = { group: RBAC_GROUP, plural, namespace: '', name: builtin.metadata.name };
    const stored = await store.get(key);
    const wanted = stored ? completed(stored, builtin) : builtin;
    if (!wanted) continue;
    try {
      await (stored ? store.update(key, wanted) : store.create(key, wanted));
    } catch (error) {
      // Another replica starts at the same time.
      if (!(error instanceof StoreError && ['already-exists', 'conflict'].includes(error.code))) throw error;
    }
  }
}

/** undefined: there is nothing to add, or it is not to be changed. */
function completed(stored: Resource, builtin: Resource): Resource | undefined {
  if (stored.metadata.annotations?.[AUTOUPDATE] === 'false') return undefined;
  const own = stored as Resource & Partial<Parts>;
  const { rules = [], subjects = [], aggregationRule } = builtin as Resource & Partial<Parts>;
  const lacking = aggregationRule ? [] : notCovered(own.rules ?? [], rules);
  const absent = subjects.filter(
    (subject) => !own.subjects?.some(({ kind, name }) => kind === subject.kind && name === subject.name),
  );
  if (lacking.length + absent.length === 0) return undefined;
  return {
    ...stored,
    ...(lacking.length > 0 && { rules: [...(own.rules ?? []), ...lacking] }),
    ...(absent.length > 0 && { subjects: [...(own.subjects ?? []), ...absent] }),
  } as Resource;
}

interface Parts {
  rules: readonly PolicyRule[];
  subjects: readonly { kind: string; name: string }[];
  aggregationRule: object;
}
