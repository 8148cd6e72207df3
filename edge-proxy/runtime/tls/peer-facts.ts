/** What is kept of a verified peer, shared by all connections of one certificate: a workload dials many times. */
import { createHash } from 'node:crypto';
import type { VerifiedPeer } from '../../x509/verify-peer.ts';
import type { TlsInfo } from '../runtime.ts';

export type PeerFacts = Pick<
  TlsInfo,
  'peerChain' | 'peerUris' | 'peerDns' | 'peerSubject' | 'peerHash' | 'peerSerial' | 'peerNotAfter'
>;

/** By the leaf's hash; as long as a connection keeps the chain. */
const chains = new Map<string, WeakRef<readonly Uint8Array[]>>();
const known = new WeakMap<readonly Uint8Array[], PeerFacts>();
const gone = new FinalizationRegistry<string>((hash) => {
  if (!chains.get(hash)?.deref()) chains.delete(hash);
});

/** @param chain as sent, leaf first @param verified undefined: the peer is not verified */
export function peerFacts(chain: readonly Uint8Array[], verified: VerifiedPeer | undefined): PeerFacts {
  if (!verified) return { peerChain: chain, peerUris: [], peerDns: [], peerSubject: '', peerHash: '' };
  const hash = createHash('sha256').update(chain[0]!).digest('hex');
  const before = chains.get(hash)?.deref();
  // The leaf is the same; what was sent with it may differ.
  if (before && sameChain(before, chain)) return known.get(before)!;
  const facts: PeerFacts = {
    peerChain: chain,
    peerUris: verified.uris,
    peerDns: verified.dns,
    peerSubject: verified.subject,
    peerHash: hash,
    peerSerial: verified.serial,
    peerNotAfter: verified.notAfter,
  };
  known.set(chain, facts);
  chains.set(hash, new WeakRef(chain));
  gone.register(chain, hash);
  return facts;
}

function sameChain(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((bytes, i) => sameBytes(bytes, b[i]!));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
