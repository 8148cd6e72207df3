/** The common name and the organizations of a certificate's subject, by which kube-apiserver names users and their groups. */
import { children, expect, malformed, objectIdentifier, only, SEQUENCE, SET } from './asn1.ts';

const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
/** UTF8String, PrintableString, IA5String. */
const TEXT: ReadonlySet<number> = new Set([0x0c, 0x13, 0x16]);

export interface Subject {
  /** Of several the last, as Go reads them; '' without one. */
  readonly commonName: string;
  readonly organizations: readonly string[];
}

/** @param name DER of a distinguished name @throws Error where one of these is no printable text */
export function readSubject(name: Uint8Array): Subject {
  let commonName = '';
  const organizations: string[] = [];
  for (const set of children(only(name, SEQUENCE).content))
    for (const attribute of children(expect(set, SET).content)) {
      const [type, value] = children(expect(attribute, SEQUENCE).content);
      const id = objectIdentifier(type);
      if (id !== COMMON_NAME && id !== ORGANIZATION) continue;
      if (!value || !TEXT.has(value.tag)) throw malformed();
      const text = printable(value.content);
      if (id === COMMON_NAME) commonName = text;
      else organizations.push(text);
    }
  return { commonName, organizations };
}

/** A NUL or a control character was used to deceive matchers. */
function printable(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) < 0x20 || text.charCodeAt(i) === 0x7f) throw new Error('unprintable name in certificate');
  return text;
}
