/**
 * Certificate revocation lists (RFC 5280 section 5), read once when config arrives. Complete lists of the issuer itself
 * only: delta and indirect ones, and those of a single distribution point, are refused by name.
 */
import { Buffer } from 'node:buffer';
import { createPublicKey, verify } from 'node:crypto';
import {
  BIT_STRING,
  children,
  type Element,
  expect,
  GENERALIZED_TIME,
  INTEGER,
  latin1,
  nameKey,
  objectIdentifier,
  only,
  SEQUENCE,
  time,
  UTC_TIME,
} from '../../shared/identity/asn1.ts';
import { extensions } from '../../shared/identity/certificate.ts';

export interface RevocationList {
  /** Keys as in CertificateFacts. */
  readonly issuer: string;
  /** Of the key that signed it; undefined: not said. */
  readonly authorityKeyId: string | undefined;
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  /** Which certificates it speaks of. */
  readonly scope: 'all' | 'leaves' | 'authorities';
  /** Serial numbers. */
  readonly revoked: ReadonlySet<string>;
  /** Did the key (SubjectPublicKeyInfo, DER) sign it? */
  signedBy(publicKey: Uint8Array): boolean;
}

/** Of all lists of one context together, as PEM text. */
export const MAX_CRL_TEXT = 16 * 1024 * 1024;
const MAX_LISTS = 64;
/** Keys whose verdict on a list is remembered. */
const MAX_KEYS = 16;

const AUTHORITY_KEY_ID = '2.5.29.35';
const DELTA_CRL = '2.5.29.27';
const ISSUING_DISTRIBUTION_POINT = '2.5.29.28';
const CERTIFICATE_ISSUER = '2.5.29.29';

const PEM_CRL = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g;

/** Contexts that name the same text share what was read from it. */
const shared = new Map<string, WeakRef<readonly RevocationList[]>>();

/**
 * Reads every list in PEM text; other PEM blocks are passed over.
 * @throws Error in one line, without naming the field that held them
 */
export function readRevocationLists(pem: string): readonly RevocationList[] {
  const known = shared.get(pem)?.deref();
  if (known) return known;
  if (pem.length > MAX_CRL_TEXT) throw new Error(`revocation lists are larger than ${MAX_CRL_TEXT} bytes`);
  // A file may be read while it is written.
  if (pem.lastIndexOf('-----BEGIN ') > pem.lastIndexOf('-----END '))
    throw new Error('revocation lists: PEM is cut short');
  const lists = [...pem.matchAll(PEM_CRL)].map(([, base64]) => read(base64!));
  if (lists.length > MAX_LISTS) throw new Error(`there are more than ${MAX_LISTS} revocation lists`);
  for (const [text, ref] of shared) if (!ref.deref()) shared.delete(text);
  if (lists.length > 0) shared.set(pem, new WeakRef(lists));
  return lists;
}

function read(base64: string): RevocationList {
  let bytes: Uint8Array;
  try {
    bytes = bytesOfBase64(base64.replace(/\s+/g, ''));
  } catch {
    throw new Error('a revocation list is not base64');
  }
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof Unsupported) throw error;
    throw new Error('a revocation list is malformed');
  }
}

/** Strict, unlike Buffer's own. */
function bytesOfBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Error('base64');
  return Buffer.from(text, 'base64');
}

class Unsupported extends Error {}

function parse(bytes: Uint8Array): RevocationList {
  const [tbs, algorithm, signature] = children(only(bytes, SEQUENCE).content);
  const signed = expect(tbs, SEQUENCE);
  const fields = children(signed.content);
  // Version 2 is written as 1; version 1 is left out and has no extensions.
  const version2 = fields[0]?.tag === INTEGER;
  if (version2 && (fields[0]!.content.length !== 1 || fields[0]!.content[0] !== 1)) throw new Error('version');
  const [innerAlgorithm, issuer, thisUpdate, ...rest] = version2 ? fields.slice(1) : fields;
  if (latin1(expect(innerAlgorithm, SEQUENCE).raw) !== latin1(expect(algorithm, SEQUENCE).raw))
    throw new Error('two algorithms');
  const nextUpdate = rest[0]?.tag === UTC_TIME || rest[0]?.tag === GENERALIZED_TIME ? time(rest.shift()) : undefined;
  const entries = rest[0]?.tag === SEQUENCE ? rest.shift() : undefined;
  const wrapper = rest.shift();
  if (rest.length > 0 || (wrapper && (wrapper.tag !== 0xa0 || !version2))) throw new Error('more than a list holds');
  return {
    issuer: nameKey(issuer),
    thisUpdate: time(thisUpdate),
    nextUpdate,
    revoked: entries ? serials(entries) : new Set(),
    ...(wrapper ? restrictions(wrapper) : { scope: 'all', authorityKeyId: undefined }),
    signedBy: signatureCheck(signed.raw, expect(algorithm, SEQUENCE), expect(signature, BIT_STRING)),
  };
}

/** A list may have a hundred thousand entries: walked, with no object made for each. */
function serials({ content }: Element): Set<string> {
  const out = new Set<string>();
  for (let at = 0; at < content.length; ) {
    const start = inside(content, at, content.length, SEQUENCE);
    const end = start + lengthAt(content, at);
    const serialStart = inside(content, start, end, INTEGER);
    const serialEnd = serialStart + lengthAt(content, start);
    out.add(serialText(content, serialStart, serialEnd));
    const dateTag = content[serialEnd] === UTC_TIME ? UTC_TIME : GENERALIZED_TIME;
    const rest = inside(content, serialEnd, end, dateTag) + lengthAt(content, serialEnd);
    if (rest < end && !isReason(content, rest, end)) requireKnownEntry(content.subarray(rest, end));
    at = end;
  }
  return out;
}

/** Where the content of the element at `at` begins; it must be of this tag and end before `end`. */
function inside(bytes: Uint8Array, at: number, end: number, tag: number): number {
  const length = lengthAt(bytes, at);
  const start = at + (bytes[at + 1]! < 0x80 ? 2 : 2 + (bytes[at + 1]! & 0x7f));
  if (bytes[at] !== tag || start + length > end) throw new Error('no such element');
  return start;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at + 1] ?? 0x80;
  if (first < 0x80) return first;
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw new Error('length');
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 2 + i] ?? Number.NaN);
  if (Number.isNaN(length)) throw new Error('length');
  return length;
}

/** As serialKey. */
function serialText(bytes: Uint8Array, start: number, end: number): string {
  if (end === start || end - start > 64) throw new Error('serial');
  let from = start;
  while (from < end - 1 && bytes[from] === 0) from++;
  return String.fromCharCode.apply(null, bytes.subarray(from, end) as unknown as number[]);
}

/** The usual extension of an entry, alone: SEQUENCE { SEQUENCE { reasonCode, OCTET STRING { ENUMERATED } } }. */
const REASON = [0x30, 12, 0x30, 10, 0x06, 3, 0x55, 0x1d, 21, 0x04, 3, 0x0a, 1];

function isReason(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at !== REASON.length + 1) return false;
  for (let i = 0; i < REASON.length; i++) if (bytes[at + i] !== REASON[i]) return false;
  return true;
}

function requireKnownEntry(bytes: Uint8Array): void {
  for (const { id, critical } of extensions({ tag: SEQUENCE, content: bytes, raw: bytes })) {
    if (id === CERTIFICATE_ISSUER) throw new Unsupported('indirect revocation lists are not supported');
    if (critical) throw new Unsupported(`an entry of a revocation list has an unknown critical extension ${id}`);
  }
}

function restrictions(wrapper: Element): Pick<RevocationList, 'scope' | 'authorityKeyId'> {
  let scope: RevocationList['scope'] = 'all';
  let authorityKeyId: string | undefined;
  for (const { id, critical, value } of extensions(wrapper)) {
    if (id === AUTHORITY_KEY_ID) {
      const key = children(only(value, SEQUENCE).content).find(({ tag }) => tag === 0x80);
      authorityKeyId = key && latin1(key.content);
    } else if (id === DELTA_CRL) throw new Unsupported('delta revocation lists are not supported');
    else if (id === ISSUING_DISTRIBUTION_POINT) scope = scopeOf(value);
    else if (critical) throw new Unsupported(`a revocation list has an unknown critical extension ${id}`);
  }
  return { scope, authorityKeyId };
}

/** IssuingDistributionPoint (RFC 5280 5.2.5). */
function scopeOf(value: Uint8Array): RevocationList['scope'] {
  const parts = children(only(value, SEQUENCE).content);
  const says = (tag: number) => parts.some((part) => part.tag === tag && part.content[0] !== 0);
  if (parts.some(({ tag }) => tag === 0xa0))
    throw new Unsupported('revocation lists of a single distribution point are not supported');
  if (parts.some(({ tag }) => tag === 0x83))
    throw new Unsupported('revocation lists of some reasons only are not supported');
  if (says(0x84)) throw new Unsupported('indirect revocation lists are not supported');
  if (says(0x85)) throw new Unsupported('revocation lists of attribute certificates are not supported');
  if (says(0x81) && says(0x82)) throw new Error('scope');
  return says(0x81) ? 'leaves' : says(0x82) ? 'authorities' : 'all';
}

/** Digests by signature algorithm; null: the algorithm has its own. SHA-1 and older are not taken. */
const DIGESTS: ReadonlyMap<string, string | null> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.3.101.112', null],
]);

/** The issuer may be known only when a peer sends its chain; verdicts are remembered by key. */
function signatureCheck(
  signed: Uint8Array,
  algorithm: Element,
  signature: Element,
): (publicKey: Uint8Array) => boolean {
  const id = objectIdentifier(children(algorithm.content)[0]);
  const digest = DIGESTS.get(id);
  if (digest === undefined)
    throw new Unsupported(`a revocation list is signed with algorithm ${id}, which is not supported`);
  if (signature.content[0] !== 0) throw new Error('unused bits');
  const value = signature.content.subarray(1);
  const verdicts = new Map<string, boolean>();
  return (publicKey) => {
    const key = latin1(publicKey);
    let verdict = verdicts.get(key);
    if (verdict === undefined) {
      verdict = verifies(digest, signed, publicKey, value);
      if (verdicts.size >= MAX_KEYS) verdicts.clear();
      verdicts.set(key, verdict);
    }
    return verdict;
  };
}

function verifies(digest: string | null, signed: Uint8Array, publicKey: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
    return verify(digest, signed, key, signature);
  } catch {
    // A key of another kind than the algorithm's.
    return false;
  }
}
