/** Instance identity tokens of Google Compute Engine in the format full (cloud.google.com/compute/docs/instances/verifying-instance-identity). */

import { parseJws } from './jws.ts';
import { type FetchedKeys, forToken, onceOf, signedRules, type TokenRule } from './oidc.ts';
import { matchingRules, type Proof, Refusal, type Rule } from './proof.ts';
import { type Claims, claimAt, tokenTimes } from './token-claims.ts';

export const GOOGLE_ISSUER = 'https://accounts.google.com';

export interface GcpRule extends TokenRule {
  readonly projects: readonly string[];
  /** Undefined: any. */
  readonly zones: readonly string[] | undefined;
  readonly serviceAccounts: readonly string[] | undefined;
}

interface Instance {
  readonly project: string;
  readonly zone: string;
  readonly id: string;
  readonly name: string;
  /** '' without one that Google verified. */
  readonly email: string;
}

/** @throws Refusal */
export async function proveGcp<R extends Rule<GcpRule>>(
  token: string,
  rules: readonly R[],
  fetched: FetchedKeys,
  now: number,
): Promise<Proof<R>> {
  const jws = parseJws(token);
  const times = tokenTimes(jws.payload, now);
  const instance = instanceOf(jws.payload);
  const matching = matchingRules(forToken(jws, rules), ({ evidence }) => reasonAgainst(instance, evidence));
  const signed = await signedRules(jws, matching, fetched);
  const once = onceOf(jws, times);
  const { project, zone, name, id } = instance;
  return { by: `gcp ${project} ${zone} ${name} ${id}`, matches: signed.map((rule) => ({ rule, once })) };
}

/** @throws Refusal unproved */
function instanceOf(claims: Claims): Instance {
  const text = (name: string): string => {
    const value = claimAt(claims, ['google', 'compute_engine', name]);
    if (typeof value === 'string' && value !== '') return value;
    throw new Refusal('unproved', `token: has no claim google.compute_engine.${name}: ask for it with format=full`);
  };
  const { email, email_verified: verified } = claims;
  return {
    project: text('project_id'),
    zone: text('zone'),
    id: text('instance_id'),
    name: text('instance_name'),
    email: verified === true && typeof email === 'string' ? email : '',
  };
}

function reasonAgainst({ project, zone, email }: Instance, rule: GcpRule): string | undefined {
  if (!rule.projects.includes(project)) return 'the project is none of its projects';
  if (rule.zones && !rule.zones.includes(zone)) return 'the zone is none of its zones';
  if (rule.serviceAccounts && !rule.serviceAccounts.includes(email))
    return 'the service account is none of its serviceAccounts';
  return undefined;
}
