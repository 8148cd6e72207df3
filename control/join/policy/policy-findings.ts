/** What of JoinPolicies has no effect in the mesh as it is. */
import type { Finding } from '../../compile/output/finding.ts';
import { namespaceOf } from '../../mesh/fields.ts';
import type { GroupAccount } from './grants.ts';
import { type JoinPolicy, namespacesOf, ruleProblems } from './join-rules.ts';

/** Namespaces that a policy may not grant, rules that cannot be used, and groups that do not exist. */
export function policyFindings(
  policies: readonly JoinPolicy[],
  rootNamespace: string,
  accountOf: GroupAccount,
): Finding[] {
  const found = (about: JoinPolicy, message: string): Finding => ({ about, reason: 'RuleWithoutEffect', message });
  return policies.flatMap((policy) => {
    const namespaces = namespacesOf(policy, rootNamespace);
    if (namespaces.length === 0)
      return found(
        policy,
        `spec.namespaces: is for policies of the root namespace ${rootNamespace}, not of ${namespaceOf(policy)}: the policy grants nothing`,
      );
    const problems = ruleProblems(policy).map((message) => found(policy, message));
    const groups = policy.spec.rules.flatMap(({ grant: { group } }, i) =>
      group === undefined || namespaces.some((namespace) => accountOf(namespace, group) !== undefined)
        ? []
        : found(policy, `spec.rules[${i}].grant.group: there is no WorkloadGroup "${group}": machines are refused`),
    );
    return [...problems, ...groups];
  });
}
