/** Tokens of OpenID Connect issuers (openid.net/specs/openid-connect-core-1_0.html section 2): CI systems, Kubernetes, edge platforms. */
import { createHash } from 'node:crypto';
import type { Key } from '../../../shared/jwt/key-set.ts';
import type { KeySource } from '../../mesh/key-sets.ts';
import { isSignedBy, type Jws, parseJws } from './jws.ts';
import { LEEWAY_MS, matchingRules, notAccepted, type Once, type Proof, Refusal, type Rule } from './proof.ts';
import { audiencesOf, claimAt, type TokenTimes, textClaim, textsOf, tokenTimes } from './token-claims.ts';

export interface ClaimMatch {
  /** As the policy writes it. */
  readonly name: string;
  readonly path: readonly string[];
  readonly matches: (text: string) => boolean;
}

/** Keys of the policy itself, or where they are fetched. */
export type TokenKeys = { readonly keys: readonly Key[] } | { readonly source: KeySource };

export interface TokenRule {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly keys: TokenKeys;
}

export interface OidcRule extends TokenRule {
  readonly claims: readonly ClaimMatch[];
  readonly maxAgeMs: number;
  readonly reusable: boolean;
}

/** The keys of an issuer as they were fetched; undefined: they are not there yet. */
export type FetchedKeys = (source: KeySource) => readonly Key[] | undefined;

/** @throws Refusal */
export async function proveOidc<R extends Rule<OidcRule>>(
  token: string,
  rules: readonly R[],
  fetched: FetchedKeys,
  now: number,
): Promise<Proof<R>> {
  const jws = parseJws(token);
  const times = tokenTimes(jws.payload, now);
  const matching = matchingRules(
    forToken(jws, rules),
    ({ evidence }) => ageReason(times, evidence.maxAgeMs, now) ?? claimReason(jws, evidence.claims),
  );
  const signed = await signedRules(jws, matching, fetched);
  const once = onceOf(jws, times);
  return {
    by: `oidc ${textClaim(jws.payload, 'iss')} ${textClaim(jws.payload, 'sub')}`,
    claims: jws.payload,
    matches: signed.map((rule) => (rule.evidence.reusable ? { rule } : { rule, once })),
  };
}

/** Rules for the issuer and an audience of the token. @throws Refusal */
export function forToken<R extends Rule<TokenRule>>({ payload }: Jws, rules: readonly R[]): readonly R[] {
  const issuer = textClaim(payload, 'iss');
  const audiences = audiencesOf(payload);
  const own = rules.filter(({ evidence }) => evidence.issuer === issuer);
  return matchingRules(own, ({ evidence }) =>
    evidence.audiences.some((one) => audiences.includes(one)) ? undefined : 'aud names none of its audiences',
  );
}

function ageReason({ issued }: TokenTimes, maxAgeMs: number, now: number): string | undefined {
  return now - issued > maxAgeMs + LEEWAY_MS ? 'iat is longer ago than its maxAge' : undefined;
}

function claimReason({ payload }: Jws, claims: readonly ClaimMatch[]): string | undefined {
  const missed = claims.find(({ path, matches }) => !textsOf(claimAt(payload, path)).some(matches));
  return missed && `claim ${missed.name} does not match`;
}

/**
 * The rules whose keys verify the token; each set of keys is asked once.
 * @throws Refusal unavailable, where only rules without keys are left; unproved
 */
export async function signedRules<R extends Rule<TokenRule>>(
  jws: Jws,
  rules: readonly R[],
  fetched: FetchedKeys,
): Promise<readonly R[]> {
  const answers = new Map<readonly Key[], boolean>();
  const signed: R[] = [];
  let missing: R | undefined;
  for (const rule of rules) {
    const { keys: own } = rule.evidence;
    const keys = 'keys' in own ? own.keys : fetched(own.source);
    if (!keys) {
      missing ??= rule;
      continue;
    }
    let answer = answers.get(keys);
    if (answer === undefined) answers.set(keys, (answer = await isSignedBy(jws, keys)));
    if (answer) signed.push(rule);
  }
  if (signed.length > 0) return signed;
  if (missing)
    throw new Refusal(
      'unavailable',
      'token: the keys of its issuer are not known yet',
      `${missing.name}: the keys of its issuer were not fetched: see the status of the policy`,
    );
  throw notAccepted(`${rules[0]!.name}: the signature of the token is by none of the keys`);
}

/** By what is signed: a signature may have several spellings, and a token need not have a jti. */
export function onceOf({ signed }: Jws, { expires }: TokenTimes): Once {
  return { id: `token ${createHash('sha256').update(signed).digest('hex')}`, until: expires + LEEWAY_MS };
}
