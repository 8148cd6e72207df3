/** Chains of certificates that lead to the authorities which policies name. */
import type { Role } from '../../../shared/identity/chain-path.ts';
import { ChainError, verifyPath } from '../../../shared/identity/verify.ts';
import type { X509Certificate } from '../../../shared/identity/x509.ts';
import { notAccepted, type Rule } from './proof.ts';

export interface ChainToTrust {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly role: Role;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What the chain is of, as messages name it. */
  readonly what: string;
}

/** @returns the rules to whose roots the chain leads. @throws Refusal unproved where there is none */
export async function trustingRules<R extends Rule<{ readonly roots: readonly X509Certificate[] }>>(
  rules: readonly R[],
  { chain, role, now, what }: ChainToTrust,
): Promise<readonly R[]> {
  const trusting: R[] = [];
  let first: ChainError | undefined;
  for (const rule of rules)
    try {
      await verifyPath({ chain, roots: rule.evidence.roots, now, purpose: role });
      trusting.push(rule);
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
      first ??= error;
    }
  if (trusting.length > 0) return trusting;
  throw notAccepted(`${rules[0]!.name}: ${what}: ${first?.message ?? ''}`);
}
