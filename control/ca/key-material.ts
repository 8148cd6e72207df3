/** The authority's own key pairs: made here, or read from the PEM files an operator plugs in. */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate as NodeCertificate } from 'node:crypto';
import { type CryptoKey, exportPrivateKey, generateKeys } from '../../shared/identity/keys.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '../../shared/identity/x509.ts';

/** A CA certificate with its key, able to sign. */
export interface Issuer {
  certificate: X509Certificate;
  key: CryptoKey;
}

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const lifetimes = { root: 10 * YEAR, intermediate: YEAR } as const;

/** A self-signed root for a trust domain. `now` in milliseconds since the epoch. */
export async function createRoot(trustDomain: string, now: number): Promise<Issuer> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ O: [trustDomain] }, { CN: [`Tulle root ${randomHex(4)}`] }],
    keys: { privateKey: keys.privateKey, publicKey: keys.publicKey },
    signingAlgorithm: signingAlgorithmOf(keys.privateKey),
    serialNumber: randomSerial(),
    notBefore: new Date(now - HOUR),
    notAfter: new Date(now + lifetimes.root),
    extensions: [...authorityExtensions(undefined), await SubjectKeyIdentifierExtension.create(keys.publicKey)],
  });
  return { certificate, key: keys.privateKey };
}

/** An intermediate that may sign leaves only. */
export async function createIntermediate(root: Issuer, trustDomain: string, now: number): Promise<Issuer> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.create({
    subject: [{ O: [trustDomain] }, { CN: [`Tulle intermediate ${randomHex(4)}`] }],
    // The Name itself, not its text: re-encoding may change string types, and strict verifiers compare bytes.
    issuer: root.certificate.subjectName,
    publicKey: keys.publicKey,
    signingKey: root.key,
    signingAlgorithm: signingAlgorithmOf(root.key),
    serialNumber: randomSerial(),
    notBefore: new Date(now - HOUR),
    notAfter: new Date(Math.min(now + lifetimes.intermediate, root.certificate.notAfter.getTime())),
    extensions: [
      ...authorityExtensions(0),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(root.certificate.publicKey),
    ],
  });
  return { certificate, key: keys.privateKey };
}

/**
 * A root's name and key, certified by another root: who trusts that one alone can verify what the root issues. It ends with
 * the one of the two that ends first.
 */
export async function crossSign(root: X509Certificate, issuer: Issuer): Promise<X509Certificate> {
  return X509CertificateGenerator.create({
    subject: root.subjectName,
    issuer: issuer.certificate.subjectName,
    publicKey: await root.publicKey.export(),
    signingKey: issuer.key,
    signingAlgorithm: signingAlgorithmOf(issuer.key),
    serialNumber: randomSerial(),
    notBefore: new Date(Math.max(root.notBefore.getTime(), issuer.certificate.notBefore.getTime())),
    notAfter: new Date(Math.min(root.notAfter.getTime(), issuer.certificate.notAfter.getTime())),
    extensions: [
      ...authorityExtensions(undefined),
      await SubjectKeyIdentifierExtension.create(root.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
    ],
  });
}

function authorityExtensions(pathLength: number | undefined): Extension[] {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
  ];
}

/**
 * Reads a private key in PKCS#8, PKCS#1 or SEC1 PEM (what `openssl` and Istio's tools write) for signing.
 * @throws Error when it cannot be read, is encrypted, or is of a kind that may not sign certificates here
 */
export async function importIssuerKey(pem: string): Promise<CryptoKey> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error('is not an unencrypted private key in PEM');
  }
  const der = new Uint8Array(key.export({ type: 'pkcs8', format: 'der' }));
  return crypto.subtle.importKey('pkcs8', der, importAlgorithm(key), true, ['sign']);
}

function importAlgorithm(key: KeyObject) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ed25519') return { name: 'Ed25519' };
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { name: 'ECDSA', namedCurve: 'P-256' };
  if (type === 'ec' && details?.namedCurve === 'secp384r1') return { name: 'ECDSA', namedCurve: 'P-384' };
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  throw new Error('must be ECDSA P-256 or P-384, Ed25519, or RSA of at least 2048 bits');
}

export { exportPrivateKey as exportIssuerKey };

/** Whether a PEM key belongs to a certificate. */
export function keyFits(certificate: X509Certificate, keyPem: string): boolean {
  const ofKey = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' });
  const ofCertificate = new NodeCertificate(certificate.toString('pem')).publicKey.export({
    type: 'spki',
    format: 'der',
  });
  return ofKey.equals(ofCertificate);
}

/** The signature a CA key makes: its own algorithm, with a hash as strong as the curve. */
export function signingAlgorithmOf(key: CryptoKey): { name: string; hash?: string } {
  const { name, namedCurve } = key.algorithm as { name: string; namedCurve?: string };
  if (name === 'Ed25519') return { name };
  return { name, hash: namedCurve === 'P-384' ? 'SHA-384' : 'SHA-256' };
}

/** A positive serial of 126 random bits, hexadecimal (RFC 5280 section 4.1.2.2). */
export function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

const randomHex = (bytes: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex');
