/** The own certificate of a TLS context: whether its key belongs to it, and what it says. */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readCertificate } from '../../../shared/identity/certificate.ts';
import { pemCertificates } from '../../x509/trusted-path.ts';
import type { KeyPair, OwnCertificate } from '../runtime.ts';

export interface OwnKeyPair extends OwnCertificate {
  /** URI names of the leaf. */
  readonly uris: readonly string[];
}

/** Pairs that were checked; cleared when full. */
const MAX_CHECKED = 256;
/** By digest, so that no private key is kept here. */
const checked = new Map<string, OwnKeyPair>();

/**
 * Deno accepts a mismatched pair silently and then fails every handshake; so it is checked here, on every runtime. A pair
 * is checked once, however many contexts use it.
 * @returns what the leaf says
 * @throws Error in one line when key and certificate do not fit; never shows key material
 */
export function checkKeyPair(pair: KeyPair): OwnKeyPair {
  const digest = createHash('sha256')
    .update(`${pair.certificateChain.length},${pair.certificateChain}${pair.privateKey}`)
    .digest('base64');
  const known = checked.get(digest);
  if (known) return known;
  const facts = readKeyPair(pair);
  if (checked.size >= MAX_CHECKED) checked.clear();
  checked.set(digest, facts);
  return facts;
}

function readKeyPair(pair: KeyPair): OwnKeyPair {
  const leaf = pemCertificates(pair.certificateChain)[0];
  if (!leaf) throw new Error('TLS: the certificate chain holds no certificate');
  let matches: boolean;
  let facts: OwnKeyPair;
  try {
    const certificate = new X509Certificate(leaf);
    const privateKey = createPrivateKey(pair.privateKey);
    matches = certificate.checkPrivateKey(privateKey);
    facts = { ...ownNames(certificate.raw), key: keyKind(privateKey) };
  } catch {
    throw new Error('TLS: the certificate or its private key cannot be read (PEM expected)');
  }
  if (!matches) throw new Error('TLS: the private key does not belong to the certificate');
  return facts;
}

/** DNS names; the common name of a certificate that has no alternative names at all (RFC 6125 6.4.4). */
function ownNames(raw: Uint8Array): { uris: readonly string[]; serverNames: readonly string[] } {
  const { uris, dns, hasAlternativeNames, subject } = readCertificate(raw);
  const attributes = hasAlternativeNames ? [] : subject.split(/[\u0000\u0001]/);
  const common = attributes.find((attribute) => attribute.startsWith('2.5.4.3='))?.slice('2.5.4.3='.length);
  return { uris, serverNames: (common ? [common] : dns).map((name) => name.toLowerCase()) };
}

const CURVES = new Map([
  ['prime256v1', 'P-256'],
  ['P-256', 'P-256'],
  ['secp384r1', 'P-384'],
  ['P-384', 'P-384'],
  ['secp521r1', 'P-521'],
  ['P-521', 'P-521'],
] as const);

function keyKind(key: KeyObject): OwnCertificate['key'] {
  if (key.asymmetricKeyType === 'rsa') return 'RSA';
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return CURVES.get(curve as 'P-256') ?? 'other';
}
