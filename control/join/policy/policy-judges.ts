/** The judges of evidence that JoinPolicies name. */
import type { Log } from '../../../shared/log/log.ts';
import { limitedLog } from '../../telemetry/limited-log.ts';
import { proveAws } from '../evidence/aws.ts';
import { proveAzure } from '../evidence/azure.ts';
import { proveCertificate } from '../evidence/certificate.ts';
import { proveGcp } from '../evidence/gcp.ts';
import { type FetchedKeys, proveOidc } from '../evidence/oidc.ts';
import { notAccepted, type Proof, Refusal } from '../evidence/proof.ts';
import type { Judge, Judgement, Judges } from '../join-evidence.ts';
import { type GroupAccount, grantOf, type Wanted } from './grants.ts';
import type { EvidenceRules, GrantingRule, JoinRules, PolicyEvidence } from './join-rules.ts';
import type { UsedEvidence } from './used-evidence.ts';

export interface PolicyJudgesOptions {
  /** As the policies are now. */
  readonly rules: () => JoinRules;
  readonly keys: FetchedKeys;
  readonly accountOf: GroupAccount;
  readonly used: UsedEvidence;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Log;
}

export function policyJudges(options: PolicyJudgesOptions): Required<Omit<Judges, 'token'>> {
  const { keys, now } = options;
  const log = limitedLog(options.log, now, 'refused joins');

  function judging<K extends PolicyEvidence>(
    kind: K,
    prove: (
      evidence: Parameters<Judge<K>>[0],
      rules: readonly GrantingRule<EvidenceRules[K]>[],
      request: Parameters<Judge<K>>[1],
    ) => Promise<Proof<GrantingRule<EvidenceRules[K]>>>,
  ): Judge<K> {
    return async (evidence, request) => {
      try {
        const rules = options.rules()[kind];
        if (rules.length === 0) throw notAccepted('no JoinPolicy has a rule for such evidence');
        return judgement(await prove(evidence, rules, request), request, options);
      } catch (error) {
        if (error instanceof Refusal) log(`join refused: ${kind}: ${error.detail}`);
        throw error;
      }
    };
  }

  return {
    oidc: judging('oidc', ({ token }, rules) => proveOidc(token, rules, keys, now())),
    certificate: judging('certificate', ({ chain, signature }, rules, { csr }) =>
      proveCertificate({ chain, signature, csr }, rules, now()),
    ),
    aws: judging('aws', ({ document, signature }, rules) => proveAws({ document, signature }, rules, now())),
    gcp: judging('gcp', ({ document }, rules) => proveGcp(document, rules, keys, now())),
    azure: judging('azure', ({ document }, rules, { csr }) => proveAzure({ document, csr }, rules, now())),
  };
}

function judgement(
  proof: Proof<GrantingRule<unknown>>,
  wanted: Wanted,
  { accountOf, used }: PolicyJudgesOptions,
): Judgement {
  const { join, match } = grantOf(proof, wanted, accountOf);
  const { once } = match;
  const usedBefore = () =>
    new Refusal(
      'not-allowed',
      'the evidence was used already: a token joins once, and an instance does',
      `${match.rule.name}: ${join.by} has joined already`,
    );
  if (once && used.isUsed(once)) throw usedBefore();
  return {
    join,
    claim: async () => {
      if (once && !(await used.claim(once))) throw usedBefore();
    },
  };
}
