/** RequestAuthentication -> Envoy's jwt_authn filter (istio.io/latest/docs/reference/config/security/request_authentication). */

import { parseKeySet } from '../../../shared/jwt/key-set.ts';
import { matchesLabels } from '../../../shared/match/labels.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { JwtRule } from '../../../shared/resources/schema/request-authentication.ts';
import { JWT_AUTHN, type JwtProvider, type JwtRequirement } from '../../../shared/xds/filters/jwt-authn.ts';
import type { HttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import { type KeySets, type KeySetText, keySourceOf, sourceId } from '../../mesh/key-sets.ts';
import { generator, sharedList } from '../memo.ts';
import type { Finding } from '../output/finding.ts';
import { type LocalWorkload, workloadsAt } from '../scope/workloads.ts';
import { httpFilter } from '../wire.ts';
import { type Authorization, targetedOf } from './authorization.ts';
import { judgeTargets, type TargetedWorkload, type TargetVerdict } from './authorization-targets.ts';
import { PAYLOAD } from './claim-matcher.ts';

type RequestAuthentication = ResourceOfKind<'RequestAuthentication'>;

/** A RequestAuthentication with the keys of its rules: the same object as long as both are the same. */
export interface TokenPolicy {
  readonly resource: RequestAuthentication;
  readonly rules: readonly { readonly rule: JwtRule; readonly keys: string }[];
  /** Why tokens of rules are refused, one sentence each. */
  readonly missing: readonly string[];
  /** The keys that were fetched for it: as long as it is used, the same keys give the same policy. */
  readonly fetched: readonly (KeySetText | undefined)[];
}

/**
 * A key set with which no token can be verified, in the place of keys that are not there: tokens of that issuer are refused, as
 * with istiod. Its key is the point of P-256 with the least x from SHA-256("tulle: no keys") on, so that no one has made it of a private key.
 */
export const NO_KEYS =
  '{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"tulle-no-keys","x":"8XTbPt9ElWTWk2ZRNVxG4kFAIwUOKX-Mjza1YKkfGQQ","y":"OTnWRy153UR5INeIsBZt1MGa4a18V3-Q1ekhuIYP2EI"}]}';

/**
 * Those that select one of the workloads, or of which that cannot be decided, of the root namespace first: the same list as
 * long as they and their keys are the same.
 */
export function tokenPoliciesFor(
  policies: readonly RequestAuthentication[],
  keySets: KeySets,
  workloads: readonly LocalWorkload[],
  rootNamespace: string,
): readonly TokenPolicy[] {
  if (policies.length === 0) return NONE;
  const targeted = workloads.map(targetedOf);
  const chosen = policies.filter((policy) =>
    targeted.some((workload) => judge(policy, workload, rootNamespace) !== 'elsewhere'),
  );
  const isRoot = (policy: RequestAuthentication) => namespaceOf(policy) === rootNamespace;
  const ordered = [...chosen.filter(isRoot), ...chosen.filter((policy) => !isRoot(policy))];
  return sharedList(
    ordered.map((resource) => {
      const keys = (specOf(resource).jwtRules ?? []).map((rule) => {
        const source = keySourceOf(rule);
        return source && keySets.get(sourceId(source));
      });
      return tokenPolicy({ keys: sharedList(keys), resource });
    }),
  );
}

const NONE: readonly TokenPolicy[] = Object.freeze([]);

type TokenPolicyInput = {
  readonly keys: readonly (KeySetText | undefined)[];
  readonly resource: RequestAuthentication;
};

const tokenPolicy = generator<TokenPolicyInput, TokenPolicy>({ keys: true, resource: true }, ({ keys, resource }) => {
  const missing: string[] = [];
  const rules = (specOf(resource).jwtRules ?? []).map((rule, i) => {
    const found = rule.jwks ? usable(rule.jwks) : keys[i]?.text;
    if (found === undefined) missing.push(`spec.jwtRules[${i}]${whyMissing(rule)}`);
    return { rule, keys: found ?? NO_KEYS };
  });
  return { resource, rules, missing, fetched: keys };
});

function usable(jwks: string): string | undefined {
  return parseKeySet(jwks).length > 0 ? jwks : undefined;
}

function whyMissing(rule: JwtRule): string {
  if (rule.jwks) return '.jwks: has no key that can be used; tokens of its issuer are refused';
  const source = keySourceOf(rule);
  if (!source) return ': names neither keys nor an issuer; no token is accepted by it';
  const field = 'issuer' in source ? '.issuer' : '.jwksUri';
  return `${field}: its keys have not been fetched; tokens of its issuer are refused`;
}

/**
 * The policy as it holds for the workloads. Where it cannot be decided whether its targets mean one of them, its rules hold
 * without keys: tokens of its issuers are refused, and a token that is REQUIRED is missing.
 */
function heldFor(
  policy: TokenPolicy,
  workloads: readonly TargetedWorkload[],
  rootNamespace: string,
): TokenPolicy | undefined {
  const verdicts = workloads.map((workload) => judge(policy.resource, workload, rootNamespace));
  if (verdicts.includes('applies')) return policy;
  return verdicts.some((verdict) => verdict !== 'elsewhere') ? withoutKeys({ policy }) : undefined;
}

const withoutKeys = generator<{ policy: TokenPolicy }, TokenPolicy>({ policy: true }, ({ policy }) => ({
  ...policy,
  rules: policy.rules.map(({ rule }) => ({ rule, keys: NO_KEYS })),
}));

function judge(policy: RequestAuthentication, workload: TargetedWorkload, rootNamespace: string): TargetVerdict {
  const namespace = namespaceOf(policy);
  if (namespace !== workload.namespace && namespace !== rootNamespace) return 'elsewhere';
  const { targetRef, targetRefs = [], selector } = specOf(policy);
  const targets = [...(targetRef ? [targetRef] : []), ...targetRefs];
  if (targets.length > 0) return judgeTargets(targets, policy, workload, rootNamespace);
  return matchesLabels(selector?.matchLabels, workload.labels) ? 'applies' : 'elsewhere';
}

/**
 * The filter of each port, made once for the same policies. Where a port belongs to several workloads, the tokens of each are
 * accepted.
 * @param clearsRoutes routes are chosen again once claims are known: at gateways, as in Istio
 */
export function authentications(
  policies: readonly TokenPolicy[],
  workloads: readonly LocalWorkload[],
  { rootNamespace, clearsRoutes }: { readonly rootNamespace: string; readonly clearsRoutes: boolean },
): (port: number) => readonly HttpFilter[] {
  const built = new Map<string, readonly HttpFilter[]>();
  return (port) => {
    const targeted = workloadsAt(workloads, port).map(targetedOf);
    const held = policies.map((policy) => heldFor(policy, targeted, rootNamespace));
    const key = held
      .map((policy, i) => (policy === undefined ? '' : policy === policies[i] ? 'as written' : 'closed'))
      .join();
    let filters = built.get(key);
    if (!filters) built.set(key, (filters = jwtAuthnFilters(held.filter(isHeld), clearsRoutes)));
    return filters;
  };
}

const isHeld = (policy: TokenPolicy | undefined): policy is TokenPolicy => policy !== undefined;

/** What guards a port, with what proves its users. */
export function withTokens(
  authorization: (port: number) => Authorization,
  authentication: (port: number) => readonly HttpFilter[],
): (port: number) => Authorization {
  return (port) => {
    const { http, ...rest } = authorization(port);
    return { http: { ...http, authentication: authentication(port) }, ...rest };
  };
}

/** One filter for the rules of all policies, in the order of their issuers; none without rules. */
export function jwtAuthnFilters(policies: readonly TokenPolicy[], clearsRoutes: boolean): readonly HttpFilter[] {
  const rules = policies.flatMap((policy) => policy.rules);
  const sorted = rules.toSorted((a, b) => compareText(a.rule.issuer ?? '', b.rule.issuer ?? ''));
  if (sorted.length === 0) return [];
  const named = sorted.map(({ rule, keys }, i) => ({ name: `origins-${i}`, rule, keys }));
  return [
    httpFilter(JWT_AUTHN, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: Object.fromEntries(named.map(({ name, rule, keys }) => [name, providerOf(rule, keys, clearsRoutes)])),
      rules: [{ match: { prefix: '/' }, requires: requirementOf(named) }],
      bypassCorsPreflight: true,
    }),
  ];
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function providerOf(rule: JwtRule, keys: string, clearsRoutes: boolean): JwtProvider {
  const { issuer, audiences, fromHeaders, fromParams, fromCookies, outputPayloadToHeader, outputClaimToHeaders } = rule;
  return {
    ...(issuer && { issuer }),
    ...(audiences?.length && { audiences }),
    localJwks: { inlineString: keys },
    ...(rule.forwardOriginalToken && { forward: true }),
    ...(fromHeaders?.length && {
      fromHeaders: fromHeaders.map(({ name, prefix }) => ({ name, ...(prefix && { valuePrefix: prefix }) })),
    }),
    ...(fromParams?.length && { fromParams }),
    ...(fromCookies?.length && { fromCookies }),
    ...(outputPayloadToHeader && { forwardPayloadHeader: outputPayloadToHeader }),
    ...(outputClaimToHeaders?.length && {
      claimToHeaders: outputClaimToHeaders.map(({ header, claim }) => ({ headerName: header, claimName: claim })),
    }),
    payloadInMetadata: PAYLOAD,
    normalizePayloadInMetadata: { spaceDelimitedClaims: spaceDelimitedClaims(rule.spaceDelimitedClaims) },
    ...(clearsRoutes && { clearRouteCache: true }),
  };
}

/** Those that are always so, and those of the rule; sorted. */
export function spaceDelimitedClaims(own: readonly string[] = []): string[] {
  return [...new Set(['permission', 'scope', ...own])].sort();
}

interface NamedRule {
  readonly name: string;
  readonly rule: JwtRule;
}

/**
 * As in Istio: a token of any provider is enough; else each provider accepts what is at its locations, where there is
 * something. So providers may share a location, and what is at another one is still verified. With a rule whose presence is
 * REQUIRED, a request without a token is refused.
 */
function requirementOf(rules: readonly NamedRule[]): JwtRequirement {
  const each = rules.map(({ name, rule }): JwtRequirement => {
    const provider = { providerName: name };
    return rule.presence === 'REQUIRED' ? provider : anyOf([provider, { allowMissing: {} }]);
  });
  if (each.length === 1) return each[0]!;
  return anyOf([...rules.map(({ name }) => ({ providerName: name })), { requiresAll: { requirements: each } }]);
}

const anyOf = (requirements: JwtRequirement[]): JwtRequirement => ({ requiresAny: { requirements } });

/** Targets that cannot be judged for one of the workloads. */
export function tokenPolicyFindings({ workloads, tokenPolicies, rootNamespace }: JudgedPlace): readonly Finding[] {
  return tokenPolicies.flatMap(({ resource, rules }) => {
    if (rules.length === 0) return [];
    const field = specOf(resource).targetRef ? 'spec.targetRef' : 'spec.targetRefs';
    return workloads.flatMap((workload): Finding[] => {
      const verdict = judge(resource, targetedOf(workload), rootNamespace);
      if (typeof verdict === 'string') return [];
      const message = `${field}: ${verdict.unsupported}: tokens of its issuers are refused`;
      return [{ about: resource, reason: 'PolicyFailsClosed', message }];
    });
  });
}

interface JudgedPlace {
  readonly workloads: readonly LocalWorkload[];
  readonly tokenPolicies: readonly TokenPolicy[];
  readonly rootNamespace: string;
}

/** Keys that are missing, for those who compile offline: a control plane reports them where it fetches them. */
export function noteMissingKeys(tokenPolicies: readonly TokenPolicy[], note: (message: string) => void): void {
  for (const { resource, missing } of tokenPolicies)
    for (const reason of missing)
      note(`RequestAuthentication ${namespaceOf(resource)}/${resource.metadata.name}: ${reason}`);
}
