/**
 * Leaf certificates (RFC 5280 section 4.1), written as DER around the parts that are constant for one issuer: its name, its key's
 * identifier, the algorithm it signs with.
 */
import { children, expect, only, SEQUENCE } from '../../shared/identity/asn1.ts';
import {
  AuthorityKeyIdentifierExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
} from '../../shared/identity/x509.ts';
import {
  type Bytes,
  bitString,
  element,
  objectIdentifier,
  octetString,
  sequence,
  TRUE,
  time,
  unsignedInteger,
} from './der-writer.ts';
import { toDer } from './ecdsa-signature.ts';
import { type Issuer, signingAlgorithmOf } from './key-material.ts';

export type LeafUse = 'workload' | 'server';

export interface Leaf {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** GeneralNames, DER: the certificate's only names. */
  readonly names: Uint8Array;
  /** `workload`: for TLS clients and servers; `server`: for servers alone. */
  readonly use: LeafUse;
  /** Big-endian, positive. */
  readonly serial: Uint8Array;
  /** Milliseconds since the epoch, whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Signs leaves of one issuer. @returns the certificate, DER */
export type LeafSigner = (leaf: Leaf) => Promise<Bytes>;

const VERSION_3 = element(0xa0, unsignedInteger(Uint8Array.of(2)));
/** The subject is empty, so the names are in the extension, which must be critical (section 4.2.1.6). */
const NO_SUBJECT = sequence();
const BASIC_CONSTRAINTS_END_ENTITY = extension('2.5.29.19', true, sequence());
/** digitalSignature, the first bit of eight; the last seven are unused. */
const KEY_USAGE = extension('2.5.29.15', true, element(0x03, Uint8Array.of(7, 0x80)));
const SERVER_AUTH = objectIdentifier('1.3.6.1.5.5.7.3.1');
const CLIENT_AUTH = objectIdentifier('1.3.6.1.5.5.7.3.2');
const EXTENDED_KEY_USAGE: Record<LeafUse, Bytes> = {
  workload: extension('2.5.29.37', false, sequence(SERVER_AUTH, CLIENT_AUTH)),
  server: extension('2.5.29.37', false, sequence(SERVER_AUTH)),
};
const SUBJECT_ALT_NAME = objectIdentifier('2.5.29.17');

/** The constant parts of an issuer's leaves, encoded once. */
export async function leafSigner(issuer: Issuer): Promise<LeafSigner> {
  const { certificate, key } = issuer;
  const algorithm = signingAlgorithmOf(key);
  const algorithmIdentifier = identifierOf(algorithm);
  const issuerName = subjectOf(new Uint8Array(certificate.rawData));
  const authorityKey = new Uint8Array((await authorityKeyIdentifier(certificate)).rawData);

  return async (leaf) => {
    const tbs = sequence(
      VERSION_3,
      unsignedInteger(leaf.serial),
      algorithmIdentifier,
      issuerName,
      sequence(time(leaf.notBefore), time(leaf.notAfter)),
      NO_SUBJECT,
      leaf.publicKey,
      element(
        0xa3,
        sequence(
          BASIC_CONSTRAINTS_END_ENTITY,
          KEY_USAGE,
          EXTENDED_KEY_USAGE[leaf.use],
          sequence(SUBJECT_ALT_NAME, TRUE, octetString(leaf.names)),
          authorityKey,
        ),
      ),
    );
    const signature = new Uint8Array(await crypto.subtle.sign(algorithm, key, tbs));
    return sequence(tbs, algorithmIdentifier, bitString(algorithm.name === 'ECDSA' ? toDer(signature) : signature));
  };
}

/** One URI as GeneralNames. @param uri of ASCII characters */
export function uriName(uri: string): Bytes {
  return sequence(element(0x86, new TextEncoder().encode(uri)));
}

function extension(id: string, critical: boolean, value: Bytes): Bytes {
  return sequence(objectIdentifier(id), ...(critical ? [TRUE] : []), octetString(value));
}

/** AlgorithmIdentifier of a signature: RFC 5758 section 3.2, RFC 4055 section 5, RFC 8410 section 3. */
function identifierOf({ name, hash }: { name: string; hash?: string }): Bytes {
  if (name === 'Ed25519') return sequence(objectIdentifier('1.3.101.112'));
  if (name === 'ECDSA')
    return sequence(objectIdentifier(hash === 'SHA-384' ? '1.2.840.10045.4.3.3' : '1.2.840.10045.4.3.2'));
  return sequence(objectIdentifier('1.2.840.113549.1.1.11'), element(0x05));
}

/** The subject as the certificate has it, byte for byte: strict verifiers (webpki) compare names as bytes. */
function subjectOf(certificate: Uint8Array): Uint8Array {
  const [tbs] = children(only(certificate, SEQUENCE).content);
  const fields = children(expect(tbs, SEQUENCE).content);
  // Version, serial, algorithm, issuer and validity precede it; CAs are of version 3, which has the first of these.
  return expect(fields[5], SEQUENCE).raw;
}

/**
 * The issuer's own subject key identifier (RFC 5280 section 4.2.1.1), which a plugged-in CA may have made in any way; by
 * SHA-1 of its key where it has none.
 */
function authorityKeyIdentifier(certificate: X509Certificate): Promise<AuthorityKeyIdentifierExtension> {
  const own = certificate.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  if (own !== undefined) return Promise.resolve(new AuthorityKeyIdentifierExtension(own));
  return AuthorityKeyIdentifierExtension.create(certificate.publicKey);
}
