/** Who may do what. */
import type { Attributes } from './attributes.ts';
import type { PolicyRule } from './rbac/policy-rule.ts';
import { MASTERS, type User } from './user.ts';

/** Answers at once: everything it needs is in memory. */
export interface Authorizer {
  /** @returns why it is allowed, for the audit log; undefined: it is not */
  allows(user: User, attributes: Attributes): string | undefined;
  /** What a user may do in a namespace and in the cluster. */
  rulesOf(user: User, namespace: string): readonly PolicyRule[];
}

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** The group `system:masters` may do everything, others what `roles` grants them. */
export function authorizer(roles?: Authorizer): Authorizer {
  return {
    allows: (user, attributes) =>
      user.groups.includes(MASTERS) ? `group ${MASTERS}` : roles?.allows(user, attributes),
    rulesOf: (user, namespace) =>
      user.groups.includes(MASTERS) ? EVERYTHING : (roles?.rulesOf(user, namespace) ?? []),
  };
}
