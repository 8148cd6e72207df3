/** What a joining machine shows, and who judges it: one judge for each kind of evidence. */
import type { Evidence, JoinRequest } from '../../shared/join/join-protocol.ts';
import type { JoinTokens } from '../ca/join-tokens.ts';
import { joinByToken, type NewJoin } from '../ca/joins.ts';

export type EvidenceKind = Evidence['kind'];

/** Who the evidence proves the machine to be. */
export interface Judgement {
  readonly join: NewJoin;
  /**
   * Uses the evidence up, where it can be: called once, after every other check. Durable when the promise resolves.
   * @throws what the judge throws
   */
  claim(): Promise<void>;
}

/**
 * Reads everything that decides who the machine is, and uses nothing up.
 * @param request what the machine asks to be: needed where the evidence leaves a choice
 * @throws EvidenceError, JoinTokenError
 */
export type Judge<K extends EvidenceKind> = (
  evidence: Evidence & { readonly kind: K },
  request: Pick<JoinRequest, 'csr' | 'namespace' | 'group' | 'serviceAccount'>,
) => Promise<Judgement>;

/** Absent: evidence of the kind is refused. */
export type Judges = { readonly [K in EvidenceKind]?: Judge<K> };

/** `unproved`: the evidence proves nothing; `not-allowed`: nothing allows who it proves; `unavailable`: it cannot be judged now. */
export type EvidenceErrorCode = 'unproved' | 'not-allowed' | 'unavailable';

/** One line, without any of the evidence that is secret. */
export class EvidenceError extends Error {
  override name = 'EvidenceError';
  readonly code: EvidenceErrorCode;
  constructor(code: EvidenceErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** @throws EvidenceError, JoinTokenError */
export function judge(judges: Judges, request: JoinRequest): Promise<Judgement> {
  const { evidence } = request;
  const own = judges[evidence.kind] as Judge<EvidenceKind> | undefined;
  if (!own)
    return Promise.reject(
      new EvidenceError(
        'not-allowed',
        `evidence of kind "${evidence.kind}" is not accepted here: join with an invitation`,
      ),
    );
  return own(evidence, request);
}

/** Of the token of an invitation. */
export function tokenJudge(tokens: Pick<JoinTokens, 'peek' | 'redeem'>): Judge<'token'> {
  return async ({ token }) => ({
    join: joinByToken(await tokens.peek(token)),
    claim: async () => void (await tokens.redeem(token)),
  });
}
