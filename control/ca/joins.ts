/**
 * Joins: one for each time that a workload obtained a first certificate. Certificates that follow by renewal belong to the same
 * join, so that a join can be taken back, and a certificate that was copied can be noticed.
 */
import type { JoinClaim, TokenHolder } from './join-tokens.ts';

export interface Join extends JoinClaim {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** The WorkloadGroup that the machine registers in; undefined: none. */
  readonly group: string | undefined;
  /** What it was obtained with, as the log names it: `token 0123456789abcdef`, `oidc https://issuer/ subject` … */
  readonly by: string;
  /** Labels that the invitation or policy adds to those of the group. */
  readonly labels: Readonly<Record<string, string>>;
  /** Its certificate opens nothing after its end: there is no renewal of an expired one. */
  readonly ephemeral: boolean;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Serial number of the newest certificate, lower-case hexadecimal without leading zeros, and its end (ms since the epoch). */
  readonly serial: string;
  readonly notAfter: number;
  /** Milliseconds since the epoch; undefined: it is not revoked. */
  readonly revoked: number | undefined;
  /** Why it was revoked. */
  readonly reason: string | undefined;
}

/** What a join begins as, before it has a certificate. */
export type NewJoin = Omit<Join, 'id' | 'created' | 'serial' | 'notAfter' | 'revoked' | 'reason'>;

/** The join that a token begins. */
export function joinByToken(holder: TokenHolder): NewJoin {
  const { id, namespace, serviceAccount, group, labels = {}, ephemeral = false } = holder;
  return { namespace, serviceAccount, group, by: `token ${id}`, labels, ephemeral };
}

/** A certificate as joins know it: serial number as in Join, end in milliseconds since the epoch. */
export type JoinCertificate = Pick<Join, 'serial' | 'notAfter'>;

export type JoinErrorCode = 'unknown' | 'revoked' | 'superseded';

/** The certificate may not be renewed, and asking again does not help. One line, with the remedy. */
export class JoinError extends Error {
  override name = 'JoinError';
  readonly code: JoinErrorCode;
  constructor(code: JoinErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export const REJOIN_REMEDY = 'join again with a new invitation ("tulle invite") or join token ("tulle token create")';

/** @param join one that is revoked */
export function revokedError({ id, revoked, reason }: Join): JoinError {
  const at = new Date(revoked ?? 0).toISOString();
  return new JoinError('revoked', `join ${id} was revoked at ${at}: ${reason}; ${REJOIN_REMEDY}`);
}

/** Where joins live; what was written is durable when the promise resolves. */
export interface Joins {
  /** The join that a first certificate begins: one that `Authority.sign` gave its serial number, which names the join. */
  begin(join: NewJoin, certificate: JoinCertificate): Promise<Join>;
  /** The join of a valid certificate that an earlier version issued: it is made when that certificate renews. */
  adopt(join: NewJoin, certificate: JoinCertificate): Promise<Join>;
  /** Of any certificate of the join, newest or superseded, for as long as it is valid; undefined: of none that is known. */
  ofSerial(serial: string): Join | undefined;
  get(id: string): Join | undefined;
  /** The oldest first. */
  list(): readonly Join[];
  /**
   * The join that a certificate may renew (life/renewal-rule.ts). A superseded certificate revokes its join.
   * @returns undefined: an earlier version issued the certificate, and it is not of a join yet
   * @throws JoinError
   */
  forRenewal(serial: string): Promise<Join | undefined>;
  /** The serial number of the join's next certificate: no other one gets its generation. @throws JoinError */
  nextSerial(id: string): Promise<string>;
  /** A renewal gave the join this certificate, which is handed out after this. @throws JoinError when it was revoked meanwhile */
  renewed(id: string, certificate: JoinCertificate): Promise<Join>;
  /** The holder of a certificate presented it, and the certificate is valid. */
  touch(serial: string): void;
  /**
   * @param reason one line
   * @returns the join as it is then; undefined: it is not known
   * @throws Error where it cannot be written: it is revoked nevertheless, and is written when it is revoked again
   */
  revoke(id: string, reason: string): Promise<Join | undefined>;
  /** Whether a certificate is of a revoked join; also false when it is of none. */
  isRevoked(serial: string): boolean;
  /** Certificates of revoked joins that have not expired. */
  revokedCertificates(): readonly JoinCertificate[];
  /** Calls back after each revocation, once it is durable or that has failed. @returns ends it */
  onRevoked(changed: () => void): () => void;
}

/** Whether a join may still have an identity: it is known, and not revoked. One that was forgotten has ended. */
export function isHeld(joins: Pick<Joins, 'get'>, id: string): boolean {
  const join = joins.get(id);
  return join !== undefined && join.revoked === undefined;
}
