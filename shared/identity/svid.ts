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
