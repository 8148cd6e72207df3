/**
 * Which certificate of a join may renew, so that a lost answer strands no machine and a copied certificate is noticed.
 *
 * Every certificate of a join has a generation, counted up. Of a join is known the generation that was presented last
 * (`confirmed`) and the newest that had been issued at that moment (`floor`). Acceptable are
 * - the confirmed certificate, and
 * - every later one than `floor`: it was issued by renewal of the confirmed one. The first of these that is presented becomes
 *   the confirmed one, and `floor` rises to all that were issued until then.
 * Each other certificate is superseded; its use revokes the join.
 *
 * No honest machine is revoked. A machine uses the certificate of the last answer that it received and stored. By induction
 * that is the confirmed one, or one issued by renewal of it: while the answers are lost, none of the certificates in them is
 * ever presented (their keys are in no other hands), so the machine's stays the confirmed one, and of several requests
 * under way at once each gives a certificate later than `floor`, in any order.
 *
 * A copy is noticed. Let two parties hold the confirmed certificate (or one that is acceptable) with its key. Each renews before
 * the end of its certificate, and then presents what it obtained. The first to present confirms its branch, and `floor` rises
 * above all that was issued to the other, whose next use is one of a superseded certificate. So both branches never live on for
 * longer than one certificate's life, and the party that comes second revokes the join for both.
 */
export interface Progress {
  readonly confirmed: number;
  readonly floor: number;
  /** Of the newest certificate. */
  readonly generation: number;
}

export type Standing = 'confirmed' | 'pending' | 'superseded';

/** A generation above the newest is pending, too: the records were restored from a backup that is older than the certificate. */
export function standingOf(generation: number, { confirmed, floor }: Progress): Standing {
  if (generation > floor) return 'pending';
  return generation === confirmed ? 'confirmed' : 'superseded';
}

/** After a pending certificate was presented. */
export function confirm(generation: number, before: Progress): Progress {
  const newest = Math.max(before.generation, generation);
  return { confirmed: generation, floor: newest, generation: newest };
}
