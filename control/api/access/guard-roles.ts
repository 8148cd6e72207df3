/**
 * Writes of roles and bindings: a user gives no rights that the user does not have
 * (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
 */
import type { Context } from 'hono';
import type { Resource } from '../../../shared/resources/resource.ts';
import { notCovered, type PolicyRule, showRule } from '../../access/rbac/policy-rule.ts';
import { type Binding, RBAC_GROUP, type Role, rulesOf } from '../../access/rbac/rbac-index.ts';
import { overriding } from '../../store/overriding.ts';
import { type ResourceKey, type ResourceStore, StoreError } from '../../store/store.ts';
import type { ApiEnv } from '../caller.ts';
import type { Target } from '../resources/kinds.ts';
import { ApiError, invalid } from '../resources/status.ts';

/** Of the resource that the path names, as what is written is known only when the body was read and merged. */
export function guardingRoles(store: ResourceStore, c: Context<ApiEnv>, target: Target): ResourceStore {
  if (target.kind.group !== RBAC_GROUP) return store;
  const check = async (key: ResourceKey, resource: Resource, stored?: Resource) => {
    if (isBinding(key)) await checkBinding(store, c, target, resource as unknown as Binding, stored);
    else checkRole(c, target, resource as unknown as Role, stored);
  };
  return overriding(store, {
    async create(key, resource, author) {
      await check(key, resource);
      return store.create(key, resource, author);
    },
    update: (key, resource, author) =>
      updateChecked(store, key, { resource, check, write: (next) => store.update(key, next, author) }),
  });
}

interface CheckedUpdate {
  readonly resource: Resource;
  readonly check: (key: ResourceKey, resource: Resource, stored?: Resource) => Promise<void>;
  readonly write: (resource: Resource) => Promise<Resource>;
}

/** How often an update is repeated that other writers overtake, whose own writer named no revision. */
const MAX_ATTEMPTS = 5;

/** It takes the place of no other than what it was compared with: another writer may have taken rights from that meanwhile. */
async function updateChecked(
  store: ResourceStore,
  key: ResourceKey,
  { resource, check, write }: CheckedUpdate,
): Promise<Resource> {
  const wanted = resource.metadata.resourceVersion;
  for (let attempt = 1; ; attempt++) {
    const stored = await store.get(key);
    await check(key, resource, stored);
    const found = stored?.metadata.resourceVersion;
    // Where there was none, all rights of the new one were asked for.
    if (found === undefined) return write(resource);
    if (wanted && wanted !== found) throw new StoreError('conflict', `it is at resourceVersion ${found}`);
    try {
      return await write({ ...resource, metadata: { ...resource.metadata, resourceVersion: found } });
    } catch (error) {
      const isOvertaken = error instanceof StoreError && error.code === 'conflict';
      if (!isOvertaken || wanted || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

const isBinding = ({ plural }: ResourceKey) => plural.endsWith('bindings');

function checkRole(c: Context<ApiEnv>, target: Target, role: Role, stored: Resource | undefined): void {
  const before = stored as unknown as Role | undefined;
  // As Kubernetes: who only changes labels needs no rights of the role, unless another role aggregates by them.
  const isSame = before && same(before.rules, role.rules) && same(before.aggregationRule, role.aggregationRule);
  if (isSame && same(stored?.metadata.labels, (role as unknown as Resource).metadata.labels)) return;
  const named = { ...target, name: role.metadata.name };
  if (may(c, named, 'escalate', named.kind.plural, role.metadata.name)) return;
  // What it selects may come later: only who may do everything can say that it is covered.
  const wanted = role.aggregationRule ? EVERYTHING : (role.rules ?? []);
  requireHeld(c, named, wanted);
}

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

async function checkBinding(
  store: ResourceStore,
  c: Context<ApiEnv>,
  target: Target,
  binding: Binding,
  stored: Resource | undefined,
): Promise<void> {
  const named = { ...target, name: binding.metadata.name };
  const before = stored as unknown as Binding | undefined;
  const { kind, name } = binding.roleRef;
  if (before && (before.roleRef.kind !== kind || before.roleRef.name !== name))
    throw invalid(target.kind, named.name, [
      { path: 'roleRef', rule: 'binding.role-ref', message: 'Invalid value: cannot change roleRef' },
    ]);
  if (before && same(before.subjects, binding.subjects)) return;
  if (may(c, named, 'bind', kind === 'ClusterRole' ? 'clusterroles' : 'roles', name)) return;
  const role = await roleOf(store, kind, name, target.namespace);
  if (!role) {
    const plural = kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    throw new ApiError(404, 'NotFound', `${plural}.${RBAC_GROUP} "${name}" not found`, {
      name,
      group: RBAC_GROUP,
      kind: plural,
    });
  }
  requireHeld(c, named, role);
}

async function roleOf(
  store: ResourceStore,
  kind: string,
  name: string,
  namespace: string,
): Promise<readonly PolicyRule[] | undefined> {
  const isCluster = kind === 'ClusterRole';
  const key = { group: RBAC_GROUP, plural: isCluster ? 'clusterroles' : 'roles' };
  const found = (await store.get({ ...key, namespace: isCluster ? '' : namespace, name })) as unknown as Role;
  if (!found?.aggregationRule) return found && (found.rules ?? []);
  const { items } = await store.list({ kind: key });
  const clusterRoles = items as unknown as Role[];
  return rulesOf(found, { clusterRoles });
}

function may(c: Context<ApiEnv>, { namespace }: Target, verb: string, resource: string, name: string): boolean {
  const caller = c.get('caller');
  const attributes = { verb, group: RBAC_GROUP, resource, subresource: '', namespace, name };
  return caller.kind === 'user' && c.get('authorizer')?.allows(caller, attributes) !== undefined;
}

/** @throws ApiError 403 naming what the user does not have */
function requireHeld(c: Context<ApiEnv>, { kind, namespace, name }: Target, wanted: readonly PolicyRule[]): void {
  const caller = c.get('caller');
  if (caller.kind !== 'user') throw new Error('roles are written by users');
  const missing = notCovered(c.get('authorizer')?.rulesOf(caller, namespace) ?? [], wanted);
  if (missing.length === 0) return;
  const groups = caller.groups.map((group) => JSON.stringify(group)).join(' ');
  const shown = missing.slice(0, MAX_SHOWN).map(showRule);
  const more = missing.length > MAX_SHOWN ? [`and ${missing.length - MAX_SHOWN} more`] : [];
  const message = `user ${JSON.stringify(caller.name)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:`;
  throw new ApiError(
    403,
    'Forbidden',
    [`${kind.plural}.${RBAC_GROUP} "${name}" is forbidden: ${message}`, ...shown, ...more].join('\n'),
    { name, group: RBAC_GROUP, kind: kind.plural },
  );
}

const MAX_SHOWN = 20;

const same = (one: unknown, other: unknown) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
