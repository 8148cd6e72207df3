/** The next certificate by the key of an expired one. */
import { importPrivateKey, signingAlgorithm } from '../../shared/identity/keys.ts';
import { RejoinChallenge, type RejoinRequest, rejoinText } from '../../shared/join/rejoin.ts';
import type { KeyPair } from '../runtime/runtime.ts';
import type { IdentityRequest } from './identity.ts';

/**
 * Asks for a nonce and answers it.
 * @param csr PEM, of the new key
 * @returns the answer of the control plane, as to `POST /v1/certificates`; its refusal of the challenge where it refuses that
 */
export async function rejoin(
  request: IdentityRequest,
  { certificateChain, privateKey }: KeyPair,
  csr: string,
  ttlSeconds: number | undefined,
): Promise<Awaited<ReturnType<IdentityRequest>>> {
  const challenge = await request('POST', '/v1/rejoin/challenge', {});
  if (challenge.status !== 200) return challenge;
  const { nonce } = RejoinChallenge.parse(challenge.body);
  const key = await importPrivateKey(privateKey);
  const signed = new Uint8Array(await crypto.subtle.sign(signingAlgorithm, key, await rejoinText(nonce, csr)));
  const signature = btoa(String.fromCharCode(...signed));
  const lifetime = ttlSeconds === undefined ? {} : { ttlSeconds };
  return request('POST', '/v1/rejoin', {
    certificateChain,
    csr,
    nonce,
    signature,
    ...lifetime,
  } satisfies RejoinRequest);
}
