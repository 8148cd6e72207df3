/** Roles and bindings compiled to an index by subject: a request looks at the rules of its own user and groups only. */
import { type LabelSelector, matchesLabelSelector } from '../../../shared/match/labels.ts';
import type { Attributes } from '../attributes.ts';
import { isResource } from '../attributes.ts';
import type { Authorizer } from '../authorizer.ts';
import { serviceAccountUserName, type User } from '../user.ts';
import { type CompiledRule, compileRule, type PolicyRule } from './policy-rule.ts';

export const RBAC_GROUP = 'rbac.authorization.k8s.io';

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Role {
  readonly metadata: Metadata;
  readonly rules?: readonly PolicyRule[];
  /** Of ClusterRoles: its rules are those of the ClusterRoles selected. */
  readonly aggregationRule?: { readonly clusterRoleSelectors?: readonly LabelSelector[] };
}

export interface Subject {
  readonly kind: string;
  readonly name: string;
  /** Of service accounts. */
  readonly namespace?: string;
}

export interface Binding {
  readonly metadata: Metadata;
  readonly subjects?: readonly Subject[];
  readonly roleRef: { readonly kind: string; readonly name: string };
}

export interface RbacObjects {
  readonly roles: readonly Role[];
  readonly clusterRoles: readonly Role[];
  readonly roleBindings: readonly Binding[];
  readonly clusterRoleBindings: readonly Binding[];
}

/** One role that a subject has, in a namespace or ('') everywhere. */
interface Grant {
  readonly namespace: string;
  /** For the audit log, as `ClusterRoleBinding "x" of ClusterRole "y" to User "z"`. */
  readonly reason: string;
  readonly rules: readonly CompiledRule[];
}

export class RbacIndex implements Authorizer {
  readonly #grants = new Map<string, Grant[]>();
  readonly #rules = new Map<string, readonly CompiledRule[]>();

  constructor(objects: RbacObjects) {
    for (const role of objects.clusterRoles) this.#compile(`ClusterRole/${role.metadata.name}`, rulesOf(role, objects));
    for (const role of objects.roles) this.#compile(keyOfRole(role.metadata), role.rules ?? []);
    for (const binding of objects.clusterRoleBindings) this.#bind(binding, '', 'ClusterRoleBinding');
    for (const binding of objects.roleBindings) this.#bind(binding, binding.metadata.namespace ?? '', 'RoleBinding');
  }

  /** The rules of a role that exists. @param namespace of the binding that refers to it */
  roleRules({ kind, name }: Binding['roleRef'], namespace: string): readonly PolicyRule[] | undefined {
    return this.#rules.get(keyOfRef(kind, name, namespace))?.map(({ rule }) => rule);
  }

  allows(user: User, attributes: Attributes): string | undefined {
    const namespace = isResource(attributes) ? attributes.namespace : '';
    for (const grant of this.#grantsOf(user)) {
      if (grant.namespace !== '' && grant.namespace !== namespace) continue;
      for (const rule of grant.rules) if (rule.matches(attributes)) return grant.reason;
    }
    return undefined;
  }

  rulesOf(user: User, namespace: string): readonly PolicyRule[] {
    return [...this.#grantsOf(user)]
      .filter((grant) => grant.namespace === '' || grant.namespace === namespace)
      .flatMap(({ rules }) => rules.map(({ rule }) => rule));
  }

  *#grantsOf({ name, groups }: User): Iterable<Grant> {
    yield* this.#grants.get(`User/${name}`) ?? [];
    for (const group of groups) yield* this.#grants.get(`Group/${group}`) ?? [];
  }

  #compile(key: string, rules: readonly PolicyRule[]): void {
    this.#rules.set(key, rules.map(compileRule));
  }

  #bind({ metadata, subjects = [], roleRef }: Binding, namespace: string, kind: string): void {
    const rules = this.#rules.get(keyOfRef(roleRef.kind, roleRef.name, namespace));
    if (!rules) return;
    for (const subject of subjects) {
      const place = namespace === '' ? metadata.name : `${namespace}/${metadata.name}`;
      const reason = `${kind} "${place}" of ${roleRef.kind} "${roleRef.name}" to ${subject.kind} "${subject.name}"`;
      const key = subjectKey(subject);
      this.#grants.set(key, [...(this.#grants.get(key) ?? []), { namespace, reason, rules }]);
    }
  }
}

function subjectKey({ kind, name, namespace = '' }: Subject): string {
  return kind === 'ServiceAccount' ? `User/${serviceAccountUserName({ namespace, name })}` : `${kind}/${name}`;
}

const keyOfRole = ({ name, namespace = '' }: Metadata) => `Role/${namespace}/${name}`;

/** A ClusterRoleBinding cannot refer to a Role: there is none of namespace ''. */
const keyOfRef = (kind: string, name: string, namespace: string) =>
  kind === 'ClusterRole' ? `ClusterRole/${name}` : keyOfRole({ name, namespace });

/** With an aggregation rule those of the ClusterRoles selected, each once; what the role says itself does not count. */
export function rulesOf(
  role: Role,
  { clusterRoles }: Pick<RbacObjects, 'clusterRoles'>,
  seen: Set<Role> = new Set(),
): readonly PolicyRule[] {
  if (!role.aggregationRule) return role.rules ?? [];
  const selectors = role.aggregationRule.clusterRoleSelectors ?? [];
  // Each role once in all: roles that aggregate each other would be walked in every order.
  seen.add(role);
  const selected = clusterRoles.filter((each) =>
    selectors.some((selector) => matchesLabelSelector(selector, each.metadata.labels)),
  );
  const rules = selected.flatMap((each) => (seen.has(each) ? [] : rulesOf(each, { clusterRoles }, seen.add(each))));
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}
