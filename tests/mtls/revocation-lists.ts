/** Certificate revocation lists for tests (RFC 5280 section 5), written byte by byte: what reads them shares no code with it. */
import { KeyObject, sign, X509Certificate } from 'node:crypto';
import type { Authority } from './certificates.ts';

const DAY_MS = 86_400_000;

/** An extension: its identifier as DER content bytes, and its value. */
export interface ListExtension {
  readonly id: readonly number[];
  readonly critical: boolean;
  readonly value: readonly number[];
}
export interface ListOptions {
  /** PEM of the certificates on it. */
  readonly revoked?: readonly string[];
  readonly thisUpdate?: Date;
  /** null: none is given. */
  readonly nextUpdate?: Date | null;
  /** Signs instead of the authority whose name is on it. */
  readonly signer?: Authority;
  /** The issuer's name otherwise written, DER. */
  readonly issuer?: Uint8Array;
  readonly extensions?: readonly ListExtension[];
  /** Of every entry. */
  readonly entryExtensions?: readonly ListExtension[];
}

type Bytes = readonly number[] | Uint8Array;

export function der(tag: number, ...parts: Bytes[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)));
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const ECDSA_SHA256 = der(0x30, der(0x06, [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
const utcTime = (date: Date) =>
  der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`, 'latin1'));
const extensionsOf = (list: readonly ListExtension[]) =>
  der(
    0x30,
    ...list.map(({ id, critical, value }) =>
      der(0x30, der(0x06, id), critical ? der(0x01, [0xff]) : [], der(0x04, value)),
    ),
  );

/** PEM of a list in the name of an authority. */
export function revocationList(authority: Authority, options: ListOptions = {}): string {
  const { revoked = [], extensions = [], entryExtensions = [] } = options;
  const { thisUpdate = new Date(Date.now() - DAY_MS), nextUpdate = new Date(Date.now() + DAY_MS) } = options;
  const entries = revoked.map((pem) => {
    const serial = Buffer.from(new X509Certificate(pem).serialNumber, 'hex');
    const positive = serial[0]! & 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial;
    return der(
      0x30,
      der(0x02, positive),
      utcTime(thisUpdate),
      entryExtensions.length > 0 ? extensionsOf(entryExtensions) : [],
    );
  });
  const signed = der(
    0x30,
    der(0x02, [1]),
    ECDSA_SHA256,
    options.issuer ?? new Uint8Array(authority.certificate.subjectName.toArrayBuffer()),
    utcTime(thisUpdate),
    nextUpdate ? utcTime(nextUpdate) : [],
    entries.length > 0 ? der(0x30, ...entries) : [],
    extensions.length > 0 ? der(0xa0, extensionsOf(extensions)) : [],
  );
  const key = KeyObject.from((options.signer ?? authority).keys.privateKey);
  const whole = der(0x30, signed, ECDSA_SHA256, der(0x03, [0], sign('sha256', signed, key)));
  const base64 = whole.toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN X509 CRL-----\n${base64}\n-----END X509 CRL-----\n`;
}
