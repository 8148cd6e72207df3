/** Which keys the RequestAuthentications and JoinPolicies of the mesh ask for, and what is to be said of those that are not there. */
import { parseKeySet } from '../../shared/jwt/key-set.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { JwtRule } from '../../shared/resources/schema/request-authentication.ts';
import type { JoinPolicySpec } from '../../shared/resources/schema/tulle/join-policy.ts';
import { goDurationNs } from '../compile/durations.ts';
import type { Finding } from '../compile/output/finding.ts';
import { GOOGLE_ISSUER } from '../join/evidence/gcp.ts';
import { namespaceOf, specOf } from '../mesh/fields.ts';
import { type KeySource, keySourceOf, sourceId } from '../mesh/key-sets.ts';
import type { SourceState } from './key-resolver.ts';
import type { WantedSource } from './key-source.ts';

/** The kinds of policies that name issuers of tokens. */
export const KEY_KINDS = ['RequestAuthentication', 'JoinPolicy'] as const;
export type KeyPolicy = ResourceOfKind<(typeof KEY_KINDS)[number]>;

const DEFAULT_TIMEOUT_MS = 5000;
const MAX_TIMEOUT_MS = 60_000;

/** A rule for the tokens of one issuer. */
interface KeyRule {
  /** `spec.jwtRules[0]` */
  readonly path: string;
  /** Path of what names the issuer. */
  readonly issuerAt: string;
  readonly jwks: string | undefined;
  readonly source: KeySource | undefined;
  readonly timeoutMs: number;
}

function rulesOf(policy: KeyPolicy): readonly KeyRule[] {
  return policy.kind === 'JoinPolicy'
    ? joinRules(specOf(policy as ResourceOfKind<'JoinPolicy'>))
    : (specOf(policy as ResourceOfKind<'RequestAuthentication'>).jwtRules ?? []).map(jwtRule);
}

function jwtRule(rule: JwtRule, i: number): KeyRule {
  const path = `spec.jwtRules[${i}]`;
  const { jwks } = rule;
  return { path, issuerAt: `${path}.issuer`, jwks, source: keySourceOf(rule), timeoutMs: timeoutOf(rule) };
}

function joinRules({ rules = [] }: Partial<JoinPolicySpec>): KeyRule[] {
  return rules.flatMap(({ oidc, gcp }, i) => {
    const path = `spec.rules[${i}].${oidc ? 'oidc' : 'gcp'}`;
    const issuerAt = oidc ? `${path}.issuer` : path;
    const token = oidc ?? (gcp && { ...gcp, issuer: GOOGLE_ISSUER });
    if (!token) return [];
    return [{ path, issuerAt, jwks: token.jwks, source: keySourceOf(token), timeoutMs: DEFAULT_TIMEOUT_MS }];
  });
}

/** Where several rules name one source, the longest time limit holds. */
export function wantedSources(policies: readonly KeyPolicy[]): ReadonlyMap<string, WantedSource> {
  const wanted = new Map<string, { source: KeySource; timeoutMs: number; namespaces: Set<string> }>();
  for (const policy of policies)
    for (const { source, timeoutMs } of rulesOf(policy)) {
      if (!source) continue;
      const id = sourceId(source);
      let known = wanted.get(id);
      if (!known) wanted.set(id, (known = { source, timeoutMs: 0, namespaces: new Set() }));
      known.timeoutMs = Math.max(known.timeoutMs, timeoutMs);
      known.namespaces.add(namespaceOf(policy));
    }
  return new Map([...wanted].map(([id, { namespaces, ...rest }]) => [id, { ...rest, namespaces: [...namespaces] }]));
}

function timeoutOf({ timeout }: JwtRule): number {
  const nanoseconds = goDurationNs(timeout);
  if (nanoseconds === undefined) return DEFAULT_TIMEOUT_MS;
  return Math.min(MAX_TIMEOUT_MS, Math.max(1, nanoseconds / 1e6));
}

/** Of the rules whose keys are not there, or are those of an earlier fetch. */
export function keyFindings(policy: KeyPolicy, stateOf: (source: KeySource) => SourceState | undefined): Finding[] {
  return rulesOf(policy).flatMap((rule) => {
    const message = problemOf(rule, stateOf);
    return message === undefined ? [] : [{ about: policy, reason: 'KeysNotAvailable' as const, message }];
  });
}

const REFUSED = 'tokens of its issuer are refused';

function problemOf(rule: KeyRule, stateOf: (source: KeySource) => SourceState | undefined): string | undefined {
  const { path, issuerAt, jwks, source } = rule;
  if (jwks) return parseKeySet(jwks).length > 0 ? undefined : `${path}.jwks: has no key that can be used: ${REFUSED}`;
  if (!source) return `${issuerAt}: names no issuer, and the rule has no keys: ${REFUSED}`;
  const { failure, hasKeys } = stateOf(source) ?? {};
  if (failure === undefined) return undefined;
  const field = 'issuer' in source ? issuerAt : `${path}.jwksUri`;
  return `${field}: ${failure}: ${hasKeys ? 'the keys that were fetched before stay in force' : REFUSED}`;
}
