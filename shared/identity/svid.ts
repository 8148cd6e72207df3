/** X.509-SVIDs for the workload that holds them. */
import { decodePem } from './pem.ts';
import { spiffeIdOf } from './verify.ts';
import { X509Certificate } from './x509.ts';

export interface Svid {
  spiffeId: string;
  /** Leaf first. */
  chain: X509Certificate[];
  /** The chain in DER, leaf first. */
  der: Uint8Array<ArrayBuffer>[];
  /** Milliseconds since the epoch, of the leaf. */
  notBefore: number;
  notAfter: number;
}

/** Certificates of a PEM text, in order. @throws PemError; Error when a block is no certificate */
export function parseCertificates(pem: string): X509Certificate[] {
  return decodePem(pem, 'CERTIFICATE').map((der) => {
    try {
      return new X509Certificate(der);
    } catch {
      throw new Error('PEM block "CERTIFICATE" holds no X.509 certificate');
    }
  });
}

/** Reads a chain in PEM, leaf first; verifies nothing. @throws PemError, ChainError no-spiffe-id */
export function parseSvid(chainPem: string): Svid {
  const chain = parseCertificates(chainPem);
  const leaf = chain[0]!;
  return {
    spiffeId: spiffeIdOf(leaf),
    chain,
    der: chain.map((certificate) => new Uint8Array(certificate.rawData)),
    notBefore: leaf.notBefore.getTime(),
    notAfter: leaf.notAfter.getTime(),
  };
}

/**
 * When to renew: half of the life that was left on receipt, moved by up to a tenth of it so that a fleet started
 * together does not renew together. Counted from receipt because `notBefore` lies in the past on purpose.
 * @param received milliseconds since the epoch
 * @param jitter 0 (earliest) up to 1 (latest)
 * @returns milliseconds since the epoch
 */
export function renewAt(svid: Pick<Svid, 'notBefore' | 'notAfter'>, received: number, jitter: number): number {
  const from = Math.max(svid.notBefore, received);
  return from + (svid.notAfter - from) * (0.45 + 0.1 * jitter);
}
