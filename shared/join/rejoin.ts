/**
 * `POST /v1/rejoin/challenge` and `POST /v1/rejoin`: a machine whose certificate has expired obtains the next one, by proof that
 * it holds the key of the expired one. It joins again without an invitation.
 */
import * as z from 'zod';

export const RejoinChallenge = z.object({ nonce: z.string().min(1).max(256) });

export const RejoinRequest = z.strictObject({
  /** PEM, leaf first: the newest certificate of the join and its issuers. */
  certificateChain: z.string().min(1).max(32_768),
  /** PEM. */
  csr: z.string().min(1).max(8192),
  /** Of the challenge. */
  nonce: z.string().min(1).max(256),
  /** Of `rejoinText` by the certificate's key, base64: ECDSA P-256 with SHA-256, both numbers of 32 bytes. */
  signature: z.string().regex(/^[A-Za-z0-9+/]{86}==$/, 'must be a signature of 64 bytes in base64'),
  ttlSeconds: z.int().positive().optional(),
});
export type RejoinRequest = z.infer<typeof RejoinRequest>;

/** What is signed: nonce and request, so that a signature serves for this exchange and this new key alone. */
export async function rejoinText(nonce: string, csr: string): Promise<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(csr)));
  const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return encoder.encode(`tulle rejoin v1\n${nonce}\n${hex}\n`);
}
