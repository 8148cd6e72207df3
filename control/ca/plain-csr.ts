/**
 * The quick reader of certificate requests (PKCS#10, RFC 2986). It reads the one form that nearly all workloads send: an
 * ECDSA P-256 key, signed with SHA-256, an empty subject or one of plain attributes, and no extension but URI names.
 * It leaves every other form to the general reader; it never refuses.
 */
import {
  BIT_STRING,
  BOOLEAN,
  children,
  type Element,
  INTEGER,
  OCTET_STRING,
  only,
  SEQUENCE,
  SET,
} from '../../shared/identity/asn1.ts';
import { type Bytes, objectIdentifier, sequence } from './der-writer.ts';
import { fromDer } from './ecdsa-signature.ts';

export interface PlainCsr {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Bytes;
  /** The key's point as WebCrypto imports it: uncompressed, 65 bytes. */
  readonly point: Bytes;
  /** What is signed. */
  readonly info: Bytes;
  /** In WebCrypto's form. */
  readonly signature: Bytes;
  readonly uris: readonly string[];
}

const COORDINATE = 32;
const POINT = 1 + 2 * COORDINATE;
const VERSION_1 = Uint8Array.of(INTEGER, 1, 0);
const ECDSA_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));
const P256_ALGORITHM = sequence(objectIdentifier('1.2.840.10045.2.1'), objectIdentifier('1.2.840.10045.3.1.7'));
const EXTENSION_REQUEST = objectIdentifier('1.2.840.113549.1.9.14');
const SUBJECT_ALT_NAME = objectIdentifier('2.5.29.17');
const ATTRIBUTES = 0xa0;
const URI = 0x86;
const UTF8_STRING = 0x0c;
const PRINTABLE_STRING = 0x13;
const OBJECT_IDENTIFIER = 0x06;

/** @returns undefined where it is malformed or not of the plain form */
export function readPlainCsr(der: Uint8Array): PlainCsr | undefined {
  try {
    return read(der);
  } catch {
    return undefined;
  }
}

function read(der: Uint8Array): PlainCsr | undefined {
  const [info, algorithm, signed, ...extra] = children(only(der, SEQUENCE).content);
  if (info?.tag !== SEQUENCE || !same(algorithm, ECDSA_SHA256) || extra.length > 0) return undefined;
  const [version, subject, publicKey, attributes, ...more] = children(info.content);
  if (!same(version, VERSION_1) || !isPlainName(subject) || attributes?.tag !== ATTRIBUTES || more.length > 0)
    return undefined;
  const point = pointOf(publicKey);
  const uris = requestedUris(attributes);
  const bits = wholeBytes(signed);
  const signature = bits && fromDer(bits, COORDINATE);
  if (!publicKey || !point || !uris || !signature) return undefined;
  // Copies: the caller's buffer may be larger, and WebCrypto reads later.
  return { publicKey: publicKey.raw.slice(), point: point.slice(), info: info.raw.slice(), signature, uris };
}

function same(found: Element | undefined, wanted: Uint8Array): boolean {
  return found?.raw.length === wanted.length && wanted.every((byte, at) => byte === found.raw[at]);
}

/** Attributes of one printable value each. Their content is not used; it only has to be well-formed. */
function isPlainName(name: Element | undefined): boolean {
  if (name?.tag !== SEQUENCE) return false;
  return children(name.content).every((set) => {
    const [attribute, ...more] = set.tag === SET ? children(set.content) : [];
    if (attribute?.tag !== SEQUENCE || more.length > 0) return false;
    const [type, value, ...rest] = children(attribute.content);
    if (type?.tag !== OBJECT_IDENTIFIER || type.raw.length !== 5 || rest.length > 0) return false;
    // Of id-at (2.5.4) alone: organization, common name, country and their like.
    if (type.content[0] !== 0x55 || type.content[1] !== 0x04 || type.content[2]! > 0x7f) return false;
    return (value?.tag === UTF8_STRING || value?.tag === PRINTABLE_STRING) && /^[A-Za-z0-9 .-]*$/.test(text(value));
  });
}

/** An uncompressed point of P-256. The import checks that it is on the curve. */
function pointOf(publicKey: Element | undefined): Uint8Array | undefined {
  const [algorithm, key, ...more] = publicKey?.tag === SEQUENCE ? children(publicKey.content) : [];
  if (!same(algorithm, P256_ALGORITHM) || more.length > 0) return undefined;
  const point = wholeBytes(key);
  return point?.length === POINT && point[0] === 0x04 ? point : undefined;
}

function wholeBytes(bits: Element | undefined): Uint8Array | undefined {
  return bits?.tag === BIT_STRING && bits.content[0] === 0 ? bits.content.subarray(1) : undefined;
}

/** The URI names of the one extension request, or none without one. */
function requestedUris(attributes: Element): string[] | undefined {
  const requests = children(attributes.content);
  if (requests.length === 0) return [];
  if (requests.length > 1 || requests[0]!.tag !== SEQUENCE) return undefined;
  const [type, values, ...more] = children(requests[0]!.content);
  if (!same(type, EXTENSION_REQUEST) || values?.tag !== SET || more.length > 0) return undefined;
  const extensions = children(only(values.content, SEQUENCE).content);
  if (extensions.length !== 1 || extensions[0]!.tag !== SEQUENCE) return undefined;
  return alternativeUris(children(extensions[0]!.content));
}

function alternativeUris(extension: Element[]): string[] | undefined {
  const [id, ...rest] = extension;
  const critical = rest.length === 2 ? rest.shift() : undefined;
  const [value, ...more] = rest;
  if (!same(id, SUBJECT_ALT_NAME) || value?.tag !== OCTET_STRING || more.length > 0) return undefined;
  if (critical && !(critical.tag === BOOLEAN && critical.content.length === 1 && critical.content[0] === 0xff))
    return undefined;
  const names = children(only(value.content, SEQUENCE).content);
  const uris = names.filter((name) => name.tag === URI).map(text);
  return uris.length === names.length && uris.every((uri) => /^[!-~]+$/.test(uri)) ? uris : undefined;
}

const text = (element: Element): string => String.fromCharCode(...element.content);
