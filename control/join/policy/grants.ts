/** Which workload a machine becomes whose evidence matches rules of policies. */

import { escapeText } from '../../../shared/log/escape.ts';
import { parseClaimPath } from '../../../shared/match/jwt-claim.ts';
import type { NameFromClaim } from '../../../shared/resources/schema/tulle/join-policy.ts';
import type { NewJoin } from '../../ca/joins.ts';
import { type Match, notGranted, type Proof, Refusal } from '../evidence/proof.ts';
import { type Claims, claimAt } from '../evidence/token-claims.ts';
import type { GrantingRule } from './join-rules.ts';

/** What the machine asks to be. */
export interface Wanted {
  readonly namespace?: string | undefined;
  readonly group?: string | undefined;
  readonly serviceAccount?: string | undefined;
}

/** The service account of a WorkloadGroup; undefined: there is no such group. */
export type GroupAccount = (namespace: string, group: string) => string | undefined;

type GrantingMatch = Match<GrantingRule<unknown>>;

export interface Granted {
  readonly join: NewJoin;
  readonly match: GrantingMatch;
}

/** Characters of what a join says it was obtained with. */
const MAX_BY = 400;

/**
 * Where rules grant the same workload, the first one counts: that of the oldest policy.
 * @throws Refusal not-allowed: nothing of what is granted is what the machine asks to be, or it has to choose
 */
export function grantOf(
  { by, matches, claims }: Proof<GrantingRule<unknown>>,
  wanted: Wanted,
  accountOf: GroupAccount,
): Granted {
  const workloads = matches.flatMap((match) => workloadsOf(match, claims, accountOf));
  const possible = workloads.filter((one) => agrees(one, wanted));
  const [first] = possible;
  if (!first) {
    const names = matches.map(({ rule }) => rule.name).join(', ');
    throw notGranted(
      `${escapeText(by)}: ${names}: what is granted is not what the machine asks to be, or its WorkloadGroup does not exist`,
    );
  }
  if (possible.some((one) => keyOf(one) !== keyOf(first)))
    throw new Refusal(
      'not-allowed',
      'the evidence is good for several workloads: name the namespace, and the group or service account',
    );
  const { match, namespace, group, serviceAccount } = first;
  const { labels = {}, ephemeral = false } = match.rule.grant;
  const said = `${escapeText(by).slice(0, MAX_BY)} (JoinPolicy ${match.rule.policy})`;
  return { match, join: { namespace, serviceAccount, group, by: said, labels, ephemeral } };
}

interface Workload {
  readonly match: GrantingMatch;
  readonly namespace: string;
  readonly group: string | undefined;
  readonly serviceAccount: string;
}

function workloadsOf(match: GrantingMatch, claims: Claims | undefined, accountOf: GroupAccount): Workload[] {
  const { grant, namespaces } = match.rule;
  const group = grant.group ?? nameFrom(grant.groupFromClaim, claims);
  const account = grant.serviceAccount ?? nameFrom(grant.serviceAccountFromClaim, claims);
  return namespaces.flatMap((namespace) => {
    const serviceAccount = group === undefined ? account : accountOf(namespace, group);
    return serviceAccount === undefined ? [] : [{ match, namespace, group, serviceAccount }];
  });
}

/** The value of a claim, where it is text and one of the names that are allowed; never a part of it, nor put together. */
function nameFrom(mapping: NameFromClaim | undefined, claims: Claims | undefined): string | undefined {
  const path = mapping && parseClaimPath(mapping.claim);
  const value = path && claims ? claimAt(claims, path) : undefined;
  return typeof value === 'string' && mapping!.allowed.includes(value) ? value : undefined;
}

function agrees(workload: Workload, wanted: Wanted): boolean {
  return (['namespace', 'group', 'serviceAccount'] as const).every(
    (field) => wanted[field] === undefined || wanted[field] === workload[field],
  );
}

const keyOf = ({ namespace, group, serviceAccount }: Workload): string =>
  JSON.stringify([namespace, group, serviceAccount]);
