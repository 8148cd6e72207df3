/**
 * Just enough DER (X.690) to read what node:crypto does not tell of a certificate: the extensions that decide whether
 * it may act as a CA, and its subject alternative names as bytes rather than as printable text.
 * Everything malformed throws: a certificate that cannot be read is not trusted.
 */

import type { NameConstraints } from './name-constraints.ts';

/** One element: its tag and its content as a view. */
interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** What verifyPeer needs of one certificate. */
export interface CertificateExtensions {
  readonly ca: boolean;
  /** undefined: no limit. */
  readonly pathLength: number | undefined;
  /** undefined: the extension is absent, so nothing is restricted. */
  readonly mayIssue: boolean | undefined;
  /** Object identifiers of the extended key usage, dotted; undefined when absent. */
  readonly purposes: readonly string[] | undefined;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Dotted identifiers of critical extensions that this reader does not judge (policies …). */
  readonly unknownCritical: readonly string[];
}

const SEQUENCE = 0x30;
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const NAME_CONSTRAINTS = '2.5.29.30';
const SUBJECT_ALT_NAME = '2.5.29.17';
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
export const ANY_PURPOSE = '2.5.29.37.0';

/** Reads the extensions of a DER certificate (RFC 5280 4.1). @throws Error when it is malformed */
export function readExtensions(certificate: Uint8Array): CertificateExtensions {
  const [outer] = only(certificate, SEQUENCE);
  const toBeSigned = children(outer!.content)[0];
  if (toBeSigned?.tag !== SEQUENCE) throw new Error('malformed certificate');
  const found = {
    ca: false,
    pathLength: undefined as number | undefined,
    mayIssue: undefined as boolean | undefined,
    purposes: undefined as string[] | undefined,
    uris: [] as string[],
    dns: [] as string[],
    ips: [] as string[],
    emails: [] as string[],
    nameConstraints: undefined as NameConstraints | undefined,
    unknownCritical: [] as string[],
  };
  const wrapper = children(toBeSigned.content).find((element) => element.tag === 0xa3);
  if (!wrapper) return found;
  const [list] = only(wrapper.content, SEQUENCE);
  const seen = new Set<string>();
  for (const extension of children(list!.content)) {
    const parts = children(extension.content);
    const id = objectIdentifier(parts[0]);
    // RFC 5280 4.2: a certificate must not hold two instances of one extension; the second could hide the first.
    if (seen.has(id)) throw new Error('repeated extension in certificate');
    seen.add(id);
    const critical = parts[1]?.tag === 0x01 && parts[1].content[0] !== 0;
    const value = parts[parts.length - 1];
    if (value?.tag !== 0x04) throw new Error('malformed extension in certificate');
    if (id === BASIC_CONSTRAINTS) Object.assign(found, basicConstraints(value.content));
    else if (id === KEY_USAGE) found.mayIssue = keyCertSign(value.content);
    else if (id === EXTENDED_KEY_USAGE) found.purposes = purposes(value.content);
    else if (id === SUBJECT_ALT_NAME) alternativeNames(value.content, found);
    else if (id === NAME_CONSTRAINTS) found.nameConstraints = nameConstraints(value.content);
    else if (critical) found.unknownCritical.push(id);
  }
  return found;
}

function basicConstraints(bytes: Uint8Array): { ca: boolean; pathLength: number | undefined } {
  const [sequence] = only(bytes, SEQUENCE);
  let ca = false;
  let pathLength: number | undefined;
  for (const element of children(sequence!.content)) {
    if (element.tag === 0x01) ca = element.content[0] !== 0;
    else if (element.tag === 0x02 && element.content.length === 1 && element.content[0]! < 0x80)
      pathLength = element.content[0]!;
    else throw new Error('malformed basic constraints in certificate');
  }
  return { ca, pathLength };
}

/** BIT STRING; bit 5 (0x04 of the first byte) is keyCertSign. */
function keyCertSign(bytes: Uint8Array): boolean {
  const [bits] = only(bytes, 0x03);
  return bits!.content.length > 1 && (bits!.content[1]! & 0x04) !== 0;
}

function purposes(bytes: Uint8Array): string[] {
  const [sequence] = only(bytes, SEQUENCE);
  return children(sequence!.content).map(objectIdentifier);
}

function alternativeNames(
  bytes: Uint8Array,
  into: { uris: string[]; dns: string[]; ips: string[]; emails: string[] },
): void {
  const [sequence] = only(bytes, SEQUENCE);
  for (const name of children(sequence!.content)) {
    if (name.tag === 0x86) into.uris.push(ascii(name.content));
    else if (name.tag === 0x82) into.dns.push(ascii(name.content));
    else if (name.tag === 0x81) into.emails.push(ascii(name.content));
    else if (name.tag === 0x87) into.ips.push(ipAddress(name.content));
  }
}

/** NameConstraints: permitted [0] and excluded [1] lists of GeneralSubtree. */
function nameConstraints(bytes: Uint8Array): NameConstraints {
  const [sequence] = only(bytes, SEQUENCE);
  const permitted = subtrees();
  const excluded = subtrees();
  let beyond = false;
  for (const part of children(sequence!.content)) {
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

/** IA5String; a NUL or a control character has no business in a name and was used to deceive matchers before. */
function ascii(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    if (byte < 0x20 || byte > 0x7e) throw new Error('unprintable name in certificate');
    out += String.fromCharCode(byte);
  }
  return out;
}

function ipAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new Error('malformed address in certificate');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16));
  return groups.join(':');
}

function objectIdentifier(element: Element | undefined): string {
  if (element?.tag !== 0x06 || element.content.length === 0) throw new Error('malformed identifier in certificate');
  const numbers: number[] = [];
  let value = 0;
  for (const byte of element.content) {
    value = value * 128 + (byte & 0x7f);
    if (value > Number.MAX_SAFE_INTEGER / 256) throw new Error('malformed identifier in certificate');
    if (byte & 0x80) continue;
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      numbers.push(first, value - first * 40);
    } else numbers.push(value);
    value = 0;
  }
  return numbers.join('.');
}

/** Exactly one element of this tag. */
function only(bytes: Uint8Array, tag: number): [Element] {
  const found = children(bytes);
  if (found.length !== 1 || found[0]!.tag !== tag) throw new Error('malformed certificate');
  return [found[0]!];
}

function children(bytes: Uint8Array): Element[] {
  const out: Element[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at++]!;
    let length = bytes[at++];
    if (length === undefined || (tag & 0x1f) === 0x1f) throw new Error('malformed certificate');
    if (length & 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3) throw new Error('malformed certificate');
      length = 0;
      for (let i = 0; i < count; i++) {
        const byte = bytes[at++];
        if (byte === undefined) throw new Error('malformed certificate');
        length = length * 256 + byte;
      }
    }
    if (at + length > bytes.length) throw new Error('malformed certificate');
    out.push({ tag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return out;
}
