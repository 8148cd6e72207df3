/**
 * Joins: one for each time that a workload obtained a first certificate. Certificates that follow by renewal belong to the same
 * join, so that a join can be taken back, and a certificate that was copied can be noticed.
 */
import type { JoinClaim } from './join-tokens.ts';

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
}

/** What a join begins as, before it has a certificate. */
export type NewJoin = Omit<Join, 'id' | 'created' | 'serial' | 'notAfter' | 'revoked'>;

/** Where joins live; what was written is durable when the promise resolves. */
export interface Joins {
  /** The join that a first certificate begins. */
  begin(join: NewJoin, certificate: Pick<Join, 'serial' | 'notAfter'>): Promise<Join>;
  /** Of any certificate of the join, newest or superseded, for as long as it is valid; undefined: of none that is known. */
  ofSerial(serial: string): Join | undefined;
  get(id: string): Join | undefined;
  list(): readonly Join[];
}
