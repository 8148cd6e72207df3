import type { JoinCertificate } from '../joins.ts';

/** What a join begins with besides what it was obtained with. @param created milliseconds since the epoch */
export function blankJoin(id: string, created: number, { serial, notAfter }: JoinCertificate) {
  const none = { revoked: undefined, reason: undefined, adopted: undefined };
  return { id, created, serial, notAfter, lastEnd: notAfter, ...none };
}
