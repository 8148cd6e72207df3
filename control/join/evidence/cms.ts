/** Signed data (CMS, RFC 5652 section 5) of one signer with an RSA key, as the metadata services of AWS and Azure sign. */
import {
  children,
  OCTET_STRING,
  objectIdentifier,
  only,
  SEQUENCE,
  SET,
  serialKey,
} from '../../../shared/identity/asn1.ts';
import type { CertificateFacts } from '../../../shared/identity/certificate.ts';
import { isStrongRsa } from '../../../shared/identity/rsa-key.ts';
import { type BerElement, berChildren, berExpect, octets, readBer } from './ber.ts';

export interface SignedData {
  /** Undefined: the content is apart. */
  readonly content: Uint8Array | undefined;
  /** DER, in any order. */
  readonly certificates: readonly Uint8Array[];
  readonly signer: Signer;
}

interface Signer {
  /** Of the certificate of the signer: the issuer's name (DER) and the serial number (`serialKey`). */
  readonly issuer: Uint8Array;
  readonly serial: string;
  readonly hash: string;
  /** DER of the SET that is signed; undefined: the content itself is. */
  readonly attributes: Uint8Array | undefined;
  readonly signature: Uint8Array;
}

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const DATA = '1.2.840.113549.1.7.1';
const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
/** SHA-1 is none of them. */
const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'SHA-256',
  '2.16.840.1.101.3.4.2.2': 'SHA-384',
  '2.16.840.1.101.3.4.2.3': 'SHA-512',
};
const RSA_WITH_HASH: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.11': 'SHA-256',
  '1.2.840.113549.1.1.12': 'SHA-384',
  '1.2.840.113549.1.1.13': 'SHA-512',
};
const MAX_CERTIFICATES = 6;

/** @param bytes BER. @throws Error where it is malformed, has not exactly one signer, or an algorithm that is not taken */
export function readSignedData(bytes: Uint8Array): SignedData {
  const [type, wrapped] = berChildren(berExpect(readBer(bytes), SEQUENCE));
  if (objectIdentifier(type) !== SIGNED_DATA) throw new Error('is no signed data');
  const [signed] = berChildren(berExpect(wrapped, 0xa0));
  const [, , encapsulated, ...rest] = berChildren(berExpect(signed, SEQUENCE));
  const certificates = rest.find(({ tag }) => tag === 0xa0);
  const [signer, ...more] = berChildren(berExpect(rest.at(-1), SET));
  if (!signer || more.length > 0) throw new Error('has not exactly one signer');
  return {
    content: contentOf(berExpect(encapsulated, SEQUENCE)),
    certificates: certificates ? certificatesOf(certificates) : [],
    signer: signerOf(berExpect(signer, SEQUENCE)),
  };
}

function contentOf(encapsulated: BerElement): Uint8Array | undefined {
  const [type, wrapped] = berChildren(encapsulated);
  if (objectIdentifier(type) !== DATA) throw new Error('signs something else than data');
  return wrapped && octets(berChildren(berExpect(wrapped, 0xa0))[0]!);
}

function certificatesOf(element: BerElement): Uint8Array[] {
  const all = berChildren(element);
  if (all.length > MAX_CERTIFICATES) throw new Error(`has more than ${MAX_CERTIFICATES} certificates`);
  return all.map((one) => berExpect(one, SEQUENCE).raw);
}

function signerOf(element: BerElement): Signer {
  const [, id, digestAlgorithm, ...rest] = berChildren(element);
  const [issuer, serial] = berChildren(berExpect(id, SEQUENCE));
  const hash = HASHES[objectIdentifier(berChildren(berExpect(digestAlgorithm, SEQUENCE))[0])];
  if (!hash) throw new Error('has a digest that is not SHA-256, SHA-384 or SHA-512');
  const attributes = rest[0]?.tag === 0xa0 ? rest.shift() : undefined;
  const [algorithm, signature] = rest;
  const signs = objectIdentifier(berChildren(berExpect(algorithm, SEQUENCE))[0]);
  if (signs !== RSA_ENCRYPTION && RSA_WITH_HASH[signs] !== hash)
    throw new Error('is not signed with RSA (PKCS#1 v1.5)');
  return {
    issuer: berExpect(issuer, SEQUENCE).raw,
    serial: serialKey(serial),
    hash,
    attributes: attributes && asSet(attributes.raw),
    signature: octets(berExpect(signature, OCTET_STRING)),
  };
}

/** What is signed is the SET, in DER (RFC 5652 section 5.4), not the [0] that the data hold. @throws Error where it is no DER */
function asSet(raw: Uint8Array): Uint8Array {
  const set = Uint8Array.from(raw);
  set[0] = SET;
  only(set, SET);
  return set;
}

/** Whether a certificate is the one that the signed data name as the signer's. */
export function isSigner({ signer }: SignedData, { issuerName, serial }: CertificateFacts): boolean {
  return equal(signer.issuer, issuerName) && signer.serial === serial;
}

/**
 * Whether the key signed the content.
 * @param publicKey SubjectPublicKeyInfo, DER: an RSA key of at least 2048 bits, another verifies nothing
 */
export async function verifies({ signer }: SignedData, content: Uint8Array, publicKey: Uint8Array): Promise<boolean> {
  if (!isStrongRsa(publicKey)) return false;
  const { hash, attributes, signature } = signer;
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash };
  try {
    if (attributes && !(await attributesName(attributes, content, hash))) return false;
    const key = await crypto.subtle.importKey('spki', new Uint8Array(publicKey), algorithm, false, ['verify']);
    return await crypto.subtle.verify(algorithm, key, new Uint8Array(signature), new Uint8Array(attributes ?? content));
  } catch {
    // Attributes that are malformed, or a signature that cannot belong to the key.
    return false;
  }
}

/** The signed attributes name the type of the content, and its digest (RFC 5652 section 11), once each. */
async function attributesName(attributes: Uint8Array, content: Uint8Array, hash: string): Promise<boolean> {
  const values = new Map<string, Uint8Array>();
  for (const attribute of children(only(attributes, SET).content)) {
    const [type, set] = children(attribute.content);
    const id = objectIdentifier(type);
    const [value, ...more] = set?.tag === SET ? children(set.content) : [];
    if (!value || more.length > 0 || values.has(id)) return false;
    values.set(id, value.raw);
  }
  const digest = new Uint8Array(await crypto.subtle.digest(hash, new Uint8Array(content)));
  const type = values.get(CONTENT_TYPE);
  const named = values.get(MESSAGE_DIGEST);
  if (!type || !named) return false;
  return objectIdentifier(children(type)[0]) === DATA && equal(only(named, OCTET_STRING).content, digest);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
