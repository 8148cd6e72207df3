/**
 * AuthorizationPolicy -> Envoy RBAC filters (istio.io/latest/docs/reference/config/security/authorization-policy),
 * in the order AUDIT, DENY, ALLOW; CUSTOM is in custom.ts. Fails closed: what cannot be evaluated makes an ALLOW rule match
 * less and a DENY rule match more.
 */
import { matchesLabels } from '../../../shared/match/labels.ts';
import { expandTrustDomains } from '../../../shared/match/trust-domain.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Operation, Rule, Source } from '../../../shared/resources/schema/authorization-policy.ts';
import type { PolicyTargetReference } from '../../../shared/resources/schema/common.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import type { HttpRbac, Permission, Policy, Principal, Rules } from '../../../shared/xds/rbac.ts';
import { specOf } from '../../mesh/fields.ts';
import { httpFilter, networkFilter } from '../wire.ts';
import { judgeTargets, type TargetedWorkload } from './authorization-targets.ts';
import { type AttributeScope, conditionGenerator, type Generator, permissions, principals } from './rbac-attributes.ts';

export interface RbacContext {
  kind: 'http' | 'tcp';
  trustDomain: string;
  trustDomainAliases: string[];
  rootNamespace: string;
  /** A policy has a value that cannot be evaluated. */
  report?: ReportPolicy;
}

/** @param message one sentence, a field path first */
export type ReportPolicy = (policy: AuthorizationPolicy, message: string) => void;

export type AuthorizationPolicy = ResourceOfKind<'AuthorizationPolicy'>;
type Action = NonNullable<NonNullable<AuthorizationPolicy['spec']>['action']>;
const ORDER = ['AUDIT', 'DENY', 'ALLOW'] as const satisfies readonly Action[];
const RBAC_ACTION = { CUSTOM: 'DENY', AUDIT: 'LOG', DENY: 'DENY', ALLOW: 'ALLOW' } as const;

/**
 * The policies of the workload's namespace and of the root namespace whose selector, if any, picks it or whose targets
 * mean it. One whose targets cannot be evaluated becomes a DENY of everything under its own name, and is noted.
 */
export function policiesFor(
  policies: readonly AuthorizationPolicy[],
  workload: TargetedWorkload,
  rootNamespace: string,
  report: ReportPolicy = () => {},
): AuthorizationPolicy[] {
  return policies.flatMap((policy) => {
    const namespace = policy.metadata.namespace ?? 'default';
    if (namespace !== workload.namespace && namespace !== rootNamespace) return [];
    const { selector, action } = specOf(policy);
    const targets = targetsOf(policy);
    if (targets.length === 0) return matchesLabels(selector?.matchLabels, workload.labels) ? [policy] : [];
    const verdict = judgeTargets(targets, policy, workload, rootNamespace);
    if (verdict === 'applies') return [policy];
    if (verdict === 'elsewhere') return [];
    const audit = action === 'AUDIT';
    const field = specOf(policy).targetRef ? 'spec.targetRef' : 'spec.targetRefs';
    report(policy, `${field}: ${verdict.unsupported}: ${audit ? 'not audited' : 'everything is denied'}`);
    return audit ? [] : [{ ...policy, spec: { action: 'DENY', rules: [{}] } }];
  });
}

/**
 * The filters that enforce these policies, but for CUSTOM ones (all of them: select with `policiesFor` first). None: nothing
 * is restricted. All ALLOW policies given are one filter, so each opens what another one does not: give those of one workload.
 */
export function buildRbacFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: RbacContext & { kind: 'http' },
): HttpFilter[];
export function buildRbacFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: RbacContext & { kind: 'tcp' },
): NetworkFilter[];
export function buildRbacFilters(
  policies: readonly AuthorizationPolicy[],
  ctx: RbacContext,
): HttpFilter[] | NetworkFilter[] {
  const configs = ORDER.flatMap((action) => {
    const chosen = policies.filter((policy) => actionOf(policy) === action);
    return chosen.length > 0 ? [rbacConfig(action, chosen, ctx)] : [];
  });
  return ctx.kind === 'http' ? configs.map(httpRbacFilter) : configs.map(networkRbacFilter);
}

export function httpRbacFilter(config: HttpRbac): HttpFilter {
  return httpFilter('envoy.filters.http.rbac', 'envoy.extensions.filters.http.rbac.v3.RBAC', config);
}

export function networkRbacFilter(config: HttpRbac): NetworkFilter {
  const type = 'envoy.extensions.filters.network.rbac.v3.RBAC';
  return networkFilter('envoy.filters.network.rbac', type, { ...config, statPrefix: 'tcp.' });
}

/** The spellings of true that validation admits (strconv.ParseBool). */
const TRUE = /^(1|t|T|TRUE|true|True)$/;

/** The policy is not enforced; what it would do is recorded. */
export function isDryRun({ metadata }: AuthorizationPolicy): boolean {
  return TRUE.test(metadata.annotations?.['istio.io/dry-run'] ?? '');
}

/** Enforced and dry-run policies of one action. */
function rbacConfig(
  action: (typeof ORDER)[number],
  policies: readonly AuthorizationPolicy[],
  ctx: RbacContext,
): HttpRbac {
  const dry = policies.filter(isDryRun);
  const enforced = policies.filter((policy) => !dry.includes(policy));
  return {
    ...(enforced.length > 0 && { rules: rulesOf(action, enforced, ctx) }),
    ...(dry.length > 0 && { shadowRules: rulesOf(action, dry, ctx) }),
    shadowRulesStatPrefix: dry.length > 0 ? DRY_RUN_PREFIX[action] : DRY_RUN_PREFIX.ALLOW,
  };
}

/** Of the metadata that dry-run policies leave; without any, the prefix has no effect, and Istio writes that of ALLOW. */
const DRY_RUN_PREFIX = { AUDIT: '', DENY: 'istio_dry_run_deny_', ALLOW: 'istio_dry_run_allow_' } as const;

/** @param nameOf makes the id of a rule of its usual one, `ns[<ns>]-policy[<name>]-rule[<n>]` */
export function rulesOf(
  action: Action,
  policies: readonly AuthorizationPolicy[],
  ctx: RbacContext,
  nameOf: (id: string) => string = (id) => id,
): Rules {
  const translated = policies.flatMap((policy) => translatePolicy(action, policy, ctx));
  return {
    action: RBAC_ACTION[action],
    policies: Object.fromEntries(translated.map(([id, one]) => [nameOf(id), one])),
  };
}

function translatePolicy(action: Action, policy: AuthorizationPolicy, ctx: RbacContext): [string, Policy][] {
  const spec = specOf(policy);
  const namespace = policy.metadata.namespace ?? 'default';
  const id = (n: number) => `ns[${namespace}]-policy[${policy.metadata.name}]-rule[${n}]`;
  // A policy without rules matches nothing; it still counts: as ALLOW it lets nothing through.
  if (!spec.rules?.length) return [[id(0), matchesNever()]];
  return spec.rules.flatMap((rule, n): [string, Policy][] => {
    const unusable = (value: string, why: string) => {
      const effect = action === 'ALLOW' ? 'the rule allows nothing' : 'the rule matches without it';
      ctx.report?.(policy, `spec.rules[${n}]: "${value}" ${why}: ${effect}`);
    };
    const scope = { tcp: ctx.kind === 'tcp', namespace };
    const translated = translateRule(action, rule, scope, ctx, ctx.kind === 'http' ? unusable : () => {});
    return translated ? [[id(n), translated]] : [];
  });
}

/** A value that cannot be evaluated, and why. */
type Unusable = (value: string, why: string) => void;

function matchesNever(): Policy {
  return { permissions: [{ notRule: { any: true } }], principals: [{ notId: { any: true } }] };
}

/** One attribute's values and excluded values, with what turns them into a matcher. */
interface Attribute<Out> {
  generator: Generator<Out>;
  values: string[] | undefined;
  notValues: string[] | undefined;
}
type Attributes = { permissions: Attribute<Permission>[]; principals: Attribute<Principal>[] };

/** Undefined: the rule can match nothing here. */
function translateRule(
  action: Action,
  rule: Rule,
  scope: AttributeScope,
  ctx: RbacContext,
  unusable: Unusable,
): Policy | undefined {
  const expand = principalExpander(ctx);
  const when = conditions(action, rule, scope, expand, unusable);
  if (!when) return undefined;
  const operations = rule.to?.length ? rule.to.map((to) => operationAttributes(to.operation ?? {}, scope)) : [[]];
  const sources = rule.from?.length
    ? rule.from.map((from) => sourceAttributes(from.source ?? {}, scope, expand))
    : [[]];
  const some = <Out>(lists: Attribute<Out>[][], and: Attribute<Out>[], not: (one: Out) => Out): Out[][] =>
    lists.flatMap((list) => {
      const all = conjunction(action, [...list, ...and], not, unusable);
      return all ? [all] : [];
    });
  const allowed = some(operations, when.permissions, (one) => ({ notRule: one })).map(
    (rules): Permission => ({ andRules: { rules: rules.length > 0 ? rules : [{ any: true }] } }),
  );
  const ids = some(sources, when.principals, (one) => ({ notId: one })).map(
    (list): Principal => ({ andIds: { ids: list.length > 0 ? list : [{ any: true }] } }),
  );
  return allowed.length > 0 && ids.length > 0 ? { permissions: allowed, principals: ids } : undefined;
}

/**
 * All attributes together. Undefined (ALLOW only): one of them cannot be evaluated, so nothing is allowed by it. For the
 * other actions such a value is left out, which widens the rule.
 */
function conjunction<Out>(
  action: Action,
  attributes: Attribute<Out>[],
  not: (one: Out) => Out,
  unusable: Unusable,
): Out[] | undefined {
  const all: Out[] = [];
  for (const { generator, values, notValues } of attributes) {
    for (const [list, negated] of [
      [values, false],
      [notValues, true],
    ] as const) {
      const usable = (list ?? []).filter((value) => isUsable(generator, value, unusable));
      if (usable.length < (list?.length ?? 0) && action === 'ALLOW') return undefined;
      // A list of which a part cannot be evaluated would narrow the rule to the rest.
      if (!negated && usable.length < (list?.length ?? 0)) continue;
      if (usable.length > 0) all.push(negated ? not(generator(usable)) : generator(usable));
    }
  }
  return all;
}

function isUsable<Out>(generator: Generator<Out>, value: string, unusable: Unusable): boolean {
  try {
    generator([value]);
    return true;
  } catch (error) {
    unusable(value, `cannot be evaluated (${(error as Error).message})`);
    return false;
  }
}

function operationAttributes(operation: Operation, scope: AttributeScope): Attribute<Permission>[] {
  const { hosts, notHosts, methods, notMethods, paths, notPaths, ports, notPorts } = operation;
  return [
    { generator: permissions.hosts(scope), values: hosts, notValues: notHosts },
    { generator: permissions.methods(scope), values: methods, notValues: notMethods },
    { generator: permissions.paths(scope), values: paths, notValues: notPaths },
    { generator: permissions.ports(), values: ports, notValues: notPorts },
  ];
}

type Expand = (principals: string[] | undefined) => string[] | undefined;

function principalExpander(ctx: RbacContext): Expand {
  const trustDomains = ctx.trustDomain ? [ctx.trustDomain, ...ctx.trustDomainAliases] : [];
  return (list) => list && expandTrustDomains(list, trustDomains);
}

function sourceAttributes(source: Source, scope: AttributeScope, expand: Expand): Attribute<Principal>[] {
  const attribute = (generator: Generator<Principal>, values?: string[], notValues?: string[]) => ({
    generator,
    values,
    notValues,
  });
  return [
    attribute(principals.principals(), expand(source.principals), expand(source.notPrincipals)),
    attribute(principals.requestPrincipals(scope), source.requestPrincipals, source.notRequestPrincipals),
    attribute(principals.serviceAccounts(scope), source.serviceAccounts, source.notServiceAccounts),
    attribute(principals.namespaces(), source.namespaces, source.notNamespaces),
    attribute(principals.trustDomains(), source.trustDomains, source.notTrustDomains),
    attribute(principals.remoteIpBlocks(), source.remoteIpBlocks, source.notRemoteIpBlocks),
    attribute(principals.ipBlocks(), source.ipBlocks, source.notIpBlocks),
  ];
}

/** Undefined: an unknown attribute in an ALLOW rule. */
function conditions(
  action: Action,
  rule: Rule,
  scope: AttributeScope,
  expand: Expand,
  unusable: Unusable,
): Attributes | undefined {
  const found: Attributes = { permissions: [], principals: [] };
  for (const { key, values, notValues } of rule.when ?? []) {
    const generator = conditionGenerator(key, scope);
    if (!generator) unusable(key, 'is no attribute');
    if (!generator && action === 'ALLOW') return undefined;
    if (!generator) continue;
    if ('permission' in generator) found.permissions.push({ generator: generator.permission, values, notValues });
    else if (key === 'source.principal')
      found.principals.push({ generator: generator.principal, values: expand(values), notValues: expand(notValues) });
    else found.principals.push({ generator: generator.principal, values, notValues });
  }
  return found;
}

/** `targetRef` and `targetRefs` as one list; empty: the policy selects by label. */
export function targetsOf(policy: AuthorizationPolicy): PolicyTargetReference[] {
  const { targetRef, targetRefs } = specOf(policy);
  return [...(targetRef ? [targetRef] : []), ...(targetRefs ?? [])];
}

/** ALLOW where none is named. */
export function actionOf(policy: AuthorizationPolicy): Action {
  return specOf(policy).action ?? 'ALLOW';
}
