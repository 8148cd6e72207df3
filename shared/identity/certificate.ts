/** Reads X.509 certificates (RFC 5280): what chain verification asks, and names as bytes, not as printed text. */
import {
  ascii,
  BIT_STRING,
  BOOLEAN,
  children,
  type Element,
  expect,
  INTEGER,
  latin1,
  malformed,
  nameKey,
  OCTET_STRING,
  objectIdentifier,
  only,
  SEQUENCE,
  serialKey,
  time,
} from './asn1.ts';
import type { NameConstraints } from './name-constraints.ts';
import { decodePem } from './pem.ts';

export interface CertificateFacts {
  /** Keys to compare serial numbers, and distinguished names, by. */
  readonly serial: string;
  readonly issuer: string;
  readonly subject: string;
  /** The same names, DER. */
  readonly issuerName: Uint8Array;
  readonly subjectName: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly ca: boolean;
  /** undefined: no limit. */
  readonly pathLength: number | undefined;
  /** The bits of the key usage extension; undefined: it is absent, so nothing is restricted. */
  readonly keyUsage: number | undefined;
  readonly subjectKeyId: string | undefined;
  readonly authorityKey: AuthorityKey | undefined;
  /** Object identifiers of the extended key usage, dotted; undefined when absent. */
  readonly purposes: readonly string[] | undefined;
  readonly hasAlternativeNames: boolean;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  /** Names of other kinds whose value is text: their type's identifier, dotted, and the text. */
  readonly otherNames: readonly { readonly type: string; readonly value: string }[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Dotted identifiers of critical extensions that this reader does not judge (policies …). */
  readonly unknownCritical: readonly string[];
}

/** Which certificate of the issuer signed it, as far as it is said. */
export interface AuthorityKey {
  readonly keyId: string | undefined;
  /** Keys as in CertificateFacts: the issuer of the issuer, and the issuer's serial number. */
  readonly issuer: string | undefined;
  readonly serial: string | undefined;
}

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const NAME_CONSTRAINTS = '2.5.29.30';
const SUBJECT_ALT_NAME = '2.5.29.17';
const SUBJECT_KEY_ID = '2.5.29.14';
const AUTHORITY_KEY_ID = '2.5.29.35';
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** Bits of the key usage extension (RFC 5280 4.2.1.3), as in the first byte of its BIT STRING. */
export const KEY_USAGE_BITS = {
  digitalSignature: 0x80,
  keyEncipherment: 0x20,
  keyAgreement: 0x08,
  keyCertSign: 0x04,
  crlSign: 0x02,
} as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer Item)[] ? Item[] : T[K] };

/** @param certificate DER. @throws Error when it is malformed */
export function readCertificate(certificate: Uint8Array): CertificateFacts {
  const outer = only(certificate, SEQUENCE);
  const fields = children(expect(children(outer.content)[0], SEQUENCE).content);
  // The version is left out of certificates of version 1.
  const [serial, , issuer, validity, subject, publicKey, ...rest] = fields[0]?.tag === 0xa0 ? fields.slice(1) : fields;
  const [notBefore, notAfter] = children(expect(validity, SEQUENCE).content);
  const found: Mutable<CertificateFacts> = {
    serial: serialKey(serial),
    issuer: nameKey(issuer),
    subject: nameKey(subject),
    issuerName: expect(issuer, SEQUENCE).raw,
    subjectName: expect(subject, SEQUENCE).raw,
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    publicKey: expect(publicKey, SEQUENCE).raw,
    ca: false,
    pathLength: undefined,
    keyUsage: undefined,
    subjectKeyId: undefined,
    authorityKey: undefined,
    purposes: undefined,
    hasAlternativeNames: false,
    uris: [],
    dns: [],
    ips: [],
    emails: [],
    otherNames: [],
    nameConstraints: undefined,
    unknownCritical: [],
  };
  const wrapper = rest.find((element) => element.tag === 0xa3);
  if (!wrapper) return found;
  for (const { id, critical, value } of extensions(wrapper)) {
    if (id === BASIC_CONSTRAINTS) Object.assign(found, basicConstraints(value));
    else if (id === KEY_USAGE) found.keyUsage = keyUsage(value);
    else if (id === EXTENDED_KEY_USAGE) found.purposes = children(only(value, SEQUENCE).content).map(objectIdentifier);
    else if (id === SUBJECT_ALT_NAME) alternativeNames(value, found);
    else if (id === NAME_CONSTRAINTS) found.nameConstraints = nameConstraints(value);
    else if (id === SUBJECT_KEY_ID) found.subjectKeyId = latin1(only(value, OCTET_STRING).content);
    else if (id === AUTHORITY_KEY_ID) found.authorityKey = authorityKey(value);
    else if (critical) found.unknownCritical.push(id);
  }
  return found;
}

/** A serial number as hexadecimal, lower case, without leading zeros. */
export function serialHex({ serial }: Pick<CertificateFacts, 'serial'>): string {
  let hex = '';
  for (let i = 0; i < serial.length; i++) hex += serial.charCodeAt(i).toString(16).padStart(2, '0');
  return hex.replace(/^0+(?=.)/, '');
}

/** The certificates of a PEM text, DER, in order. @throws PemError; Error where a block is no certificate */
export function decodeCertificates(pem: string): Uint8Array<ArrayBuffer>[] {
  const all = decodePem(pem, 'CERTIFICATE');
  try {
    all.forEach(readCertificate);
  } catch {
    throw new Error('PEM block "CERTIFICATE" holds no X.509 certificate');
  }
  return all;
}

export interface Extension {
  /** Dotted. */
  readonly id: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** Extensions of a certificate, a revocation list or an entry of one. @param wrapper holds the SEQUENCE OF them */
export function* extensions(wrapper: Element): Generator<Extension> {
  const seen = new Set<string>();
  for (const extension of children(only(wrapper.content, SEQUENCE).content)) {
    const parts = children(expect(extension, SEQUENCE).content);
    const id = objectIdentifier(parts[0]);
    // RFC 5280 4.2: a certificate must not hold two instances of one extension; the second could hide the first.
    if (seen.has(id)) throw new Error('repeated extension in certificate');
    seen.add(id);
    const critical = parts[1]?.tag === BOOLEAN && parts[1].content[0] !== 0;
    const value = parts[parts.length - 1];
    if (value?.tag !== OCTET_STRING) throw new Error('malformed extension in certificate');
    yield { id, critical, value: value.content };
  }
}

function basicConstraints(bytes: Uint8Array): { ca: boolean; pathLength: number | undefined } {
  let ca = false;
  let pathLength: number | undefined;
  for (const element of children(only(bytes, SEQUENCE).content)) {
    if (element.tag === BOOLEAN) ca = element.content[0] !== 0;
    else if (element.tag === INTEGER && element.content.length === 1 && element.content[0]! < 0x80)
      pathLength = element.content[0]!;
    else throw new Error('malformed basic constraints in certificate');
  }
  return { ca, pathLength };
}

/** BIT STRING: behind the count of unused bits, the first byte has all that is asked about here. */
function keyUsage(bytes: Uint8Array): number {
  return only(bytes, BIT_STRING).content[1] ?? 0;
}

/** AuthorityKeyIdentifier: [0] key identifier, [1] general names, [2] serial number. */
function authorityKey(bytes: Uint8Array): AuthorityKey {
  let keyId: string | undefined;
  let issuer: string | undefined;
  let serial: string | undefined;
  for (const part of children(only(bytes, SEQUENCE).content)) {
    if (part.tag === 0x80) keyId = latin1(part.content);
    else if (part.tag === 0xa1) {
      const name = children(part.content).find(({ tag }) => tag === 0xa4);
      if (name) issuer = nameKey(only(name.content, SEQUENCE));
    } else if (part.tag === 0x82) serial = serialKey({ ...part, tag: INTEGER });
    else throw new Error('malformed authority key identifier in certificate');
  }
  return { keyId, issuer, serial };
}

function alternativeNames(bytes: Uint8Array, into: Mutable<CertificateFacts>): void {
  into.hasAlternativeNames = true;
  for (const name of children(only(bytes, SEQUENCE).content)) {
    if (name.tag === 0x86) into.uris.push(ascii(name.content));
    else if (name.tag === 0x82) into.dns.push(ascii(name.content));
    else if (name.tag === 0x81) into.emails.push(ascii(name.content));
    else if (name.tag === 0x87) into.ips.push(ipAddress(name.content));
    else if (name.tag === 0xa0) {
      const other = otherName(name);
      if (other) into.otherNames.push(other);
    }
  }
}

/** UTF8String, PrintableString, IA5String, VisibleString: what a matcher can be held against. */
const TEXT: ReadonlySet<number> = new Set([0x0c, 0x13, 0x16, 0x1a]);

/** OtherName: its type, and its value in a [0]. @returns undefined when the value is no text */
function otherName(name: Element): { type: string; value: string } | undefined {
  const [id, wrapped] = children(name.content);
  const type = objectIdentifier(id);
  const [value, ...more] = children(expect(wrapped, 0xa0).content);
  if (!value || more.length > 0) throw malformed();
  if (!TEXT.has(value.tag)) return undefined;
  const text = new TextDecoder('utf-8', { fatal: true }).decode(value.content);
  // As in `ascii`: a NUL or a control character was used to deceive matchers.
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) < 0x20 || text.charCodeAt(i) === 0x7f) throw new Error('unprintable name in certificate');
  return { type, value: text };
}

/** NameConstraints: permitted [0] and excluded [1] lists of GeneralSubtree. */
function nameConstraints(bytes: Uint8Array): NameConstraints {
  const permitted = subtrees();
  const excluded = subtrees();
  let beyond = false;
  for (const part of children(only(bytes, SEQUENCE).content)) {
    const into = part.tag === 0xa0 ? permitted : part.tag === 0xa1 ? excluded : undefined;
    if (!into) throw new Error('malformed name constraints in certificate');
    for (const subtree of children(part.content)) {
      // minimum and maximum are not used in this profile (RFC 5280): where they stand, nothing is understood.
      const [base, ...more] = children(subtree.content);
      if (subtree.tag !== SEQUENCE || !base) throw new Error('malformed name constraints in certificate');
      if (more.length > 0) beyond = true;
      if (base.tag === 0x82) into.dns.push(ascii(base.content));
      else if (base.tag === 0x86) into.uris.push(ascii(base.content));
      else if (base.tag === 0x81) into.emails.push(ascii(base.content));
      else if (base.tag === 0x87 && (base.content.length === 8 || base.content.length === 32))
        into.ips.push(base.content);
      else beyond = true;
    }
  }
  return { permitted, excluded, beyond };
}

const subtrees = () => ({ dns: [] as string[], uris: [] as string[], emails: [] as string[], ips: [] as Uint8Array[] });

function ipAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new Error('malformed address in certificate');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}
