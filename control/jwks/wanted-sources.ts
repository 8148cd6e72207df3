/** Which keys the RequestAuthentications of the mesh ask for, and what is to be said of those that are not there. */
import { parseKeySet } from '../../shared/jwt/key-set.ts';
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import type { JwtRule } from '../../shared/resources/schema/request-authentication.ts';
import { goDurationNs } from '../compile/durations.ts';
import type { Finding } from '../compile/output/finding.ts';
import { namespaceOf, specOf } from '../mesh/fields.ts';
import { type KeySource, keySourceOf, sourceId } from '../mesh/key-sets.ts';
import type { SourceState } from './key-resolver.ts';
import type { WantedSource } from './key-source.ts';

type RequestAuthentication = ResourceOfKind<'RequestAuthentication'>;

const DEFAULT_TIMEOUT_MS = 5000;
const MAX_TIMEOUT_MS = 60_000;

const rulesOf = (policy: RequestAuthentication): readonly JwtRule[] => specOf(policy).jwtRules ?? [];

/** Where several rules name one source, the longest time limit holds. */
export function wantedSources(policies: readonly RequestAuthentication[]): ReadonlyMap<string, WantedSource> {
  const wanted = new Map<string, { source: KeySource; timeoutMs: number; namespaces: Set<string> }>();
  for (const policy of policies)
    for (const rule of rulesOf(policy)) {
      const source = keySourceOf(rule);
      if (!source) continue;
      const id = sourceId(source);
      let known = wanted.get(id);
      if (!known) wanted.set(id, (known = { source, timeoutMs: 0, namespaces: new Set() }));
      known.timeoutMs = Math.max(known.timeoutMs, timeoutOf(rule));
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
export function keyFindings(
  policy: RequestAuthentication,
  stateOf: (source: KeySource) => SourceState | undefined,
): Finding[] {
  return rulesOf(policy).flatMap((rule, i) => {
    const problem = problemOf(rule, stateOf);
    if (problem === undefined) return [];
    return [{ about: policy, reason: 'KeysNotAvailable' as const, message: `spec.jwtRules[${i}].${problem}` }];
  });
}

const REFUSED = 'tokens of its issuer are refused';

function problemOf(rule: JwtRule, stateOf: (source: KeySource) => SourceState | undefined): string | undefined {
  if (rule.jwks) return parseKeySet(rule.jwks).length > 0 ? undefined : `jwks: has no key that can be used: ${REFUSED}`;
  const source = keySourceOf(rule);
  if (!source) return `issuer: names no issuer, and the rule has no keys: ${REFUSED}`;
  const { failure, hasKeys } = stateOf(source) ?? {};
  if (failure === undefined) return undefined;
  const field = 'issuer' in source ? 'issuer' : 'jwksUri';
  return `${field}: ${failure}: ${hasKeys ? 'the keys that were fetched before stay in force' : REFUSED}`;
}
