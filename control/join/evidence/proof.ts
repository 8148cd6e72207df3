/** What judging evidence comes to: the rules of policies that it matches, or why it is refused. */

import { EvidenceError, type EvidenceErrorCode } from '../join-evidence.ts';

/** One rule of a JoinPolicy, for one kind of evidence. */
export interface Rule<E> {
  /** As the log names it: `JoinPolicy shop/ci rules[0]`. */
  readonly name: string;
  readonly evidence: E;
}

/** Evidence that may be used once. */
export interface Once {
  /** The same for every use of the evidence. */
  readonly id: string;
  /** From then on the evidence is refused anyway; milliseconds since the epoch. */
  readonly until: number;
}

export interface Match<R> {
  readonly rule: R;
  readonly once?: Once;
}

/** Evidence that was verified. */
export interface Proof<R> {
  /** Who it proves the machine to be, as the record of the join names it. */
  readonly by: string;
  /** At least one. */
  readonly matches: readonly Match<R>[];
  /** Of a token. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Evidence that is refused. The message is for the caller, who is anonymous: it says nothing of the policies; `detail` is for the log. */
export class Refusal extends EvidenceError {
  override name = 'Refusal';
  readonly detail: string;
  constructor(code: EvidenceErrorCode, message: string, detail = message) {
    super(code, message);
    this.detail = detail;
  }
}

/** Rules whose reasons a line of the log has room for. */
const MAX_REASONS = 8;

/**
 * The rules that a fact of the evidence does not contradict.
 * @param mismatch why a rule does not match; undefined: it does
 * @throws Refusal unproved where none is left
 */
export function matchingRules<R extends Rule<unknown>>(
  rules: readonly R[],
  mismatch: (rule: R) => string | undefined,
): readonly R[] {
  const reasons: string[] = [];
  const left = rules.filter((rule) => {
    const reason = mismatch(rule);
    if (reason !== undefined && reasons.length < MAX_REASONS) reasons.push(`${rule.name}: ${reason}`);
    return reason === undefined;
  });
  if (left.length === 0) throw notAccepted(reasons.join('; ') || 'no JoinPolicy has a rule for such evidence');
  return left;
}

const NO_POLICY = 'no JoinPolicy accepts this evidence; the log of the control plane says why';

/**
 * Evidence that no rule matches, or that is not signed as a matching rule requires: the same answer, as a difference would
 * describe the policies to callers without any proof.
 */
export const notAccepted = (detail: string): Refusal => new Refusal('unproved', NO_POLICY, detail);

/** Evidence that was verified, for a workload that no rule grants. */
export const notGranted = (detail: string): Refusal => new Refusal('not-allowed', NO_POLICY, detail);

/** Tolerance for clocks that differ; milliseconds. */
export const LEEWAY_MS = 60_000;
