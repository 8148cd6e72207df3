/**
 * The certificate chain of a TLS client, verified at once. The rules are those of shared/identity; signatures are checked by
 * node:crypto, which reads a certificate and checks it in a tenth of the time that WebCrypto and a reader in JavaScript take:
 * a control plane that starts is called by all proxies within a second.
 */
import { X509Certificate } from 'node:crypto';
import { type CertificateFacts, readCertificate, serialHex } from '../../../shared/identity/certificate.ts';
import { ChainError, findPath, requireLength, searchPath } from '../../../shared/identity/chain-path.ts';
import { identityOf, type SvidIdentity } from '../../../shared/identity/verify.ts';

/** Who a client is, and the serial number of its certificate as `serialHex` writes it. */
export interface ClientIdentity extends SvidIdentity {
  readonly serial: string;
}

/** Whom client certificates are verified against. */
export interface TrustedIssuers {
  readonly roots: readonly { readonly rawData: ArrayBuffer }[];
  /** For clients that send only their leaf. */
  readonly intermediates: readonly { readonly rawData: ArrayBuffer }[];
  readonly trustDomain: string;
}

interface Certificate {
  readonly facts: CertificateFacts;
  readonly x509: X509Certificate;
}

/**
 * @param chain as the client sent it, DER, leaf first
 * @param nowMs milliseconds since the epoch
 * @throws ChainError
 */
export function verifyClientChain(
  chain: readonly Uint8Array[],
  issuers: TrustedIssuers,
  nowMs: number,
): ClientIdentity {
  const path = verifyClientPath(chain, issuers, nowMs);
  return { ...identityOf(path, issuers.trustDomain), serial: serialHex(path[0]!) };
}

/**
 * A path from a client's leaf to one of the roots, whatever its names are.
 * @returns leaf first, root last
 * @throws ChainError
 */
export function verifyClientPath(
  chain: readonly Uint8Array[],
  issuers: Pick<TrustedIssuers, 'roots' | 'intermediates'>,
  nowMs: number,
): CertificateFacts[] {
  requireLength(chain.length);
  const path = findPath(
    searchPath({
      chain: chain.map(read),
      intermediates: issuers.intermediates.map(known),
      roots: issuers.roots.map(known),
      role: 'client',
      nowMs,
    }),
    isSigned,
  );
  return path.map((one) => one.facts);
}

/** Roots and intermediates are verified against again and again. */
const parsed = new WeakMap<object, Certificate>();

function known(issuer: TrustedIssuers['roots'][number]): Certificate {
  let certificate = parsed.get(issuer);
  if (!certificate) parsed.set(issuer, (certificate = read(new Uint8Array(issuer.rawData))));
  return certificate;
}

function read(der: Uint8Array): Certificate {
  try {
    return { facts: readCertificate(der), x509: new X509Certificate(der) };
  } catch (error) {
    throw new ChainError('malformed', `certificate cannot be parsed: ${(error as Error).message}`);
  }
}

function isSigned(subject: Certificate, issuer: Certificate): boolean {
  try {
    return subject.x509.verify(issuer.x509.publicKey);
  } catch {
    return false;
  }
}
