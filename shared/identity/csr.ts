/** Certificate signing requests (PKCS#10, RFC 2986). */
import { BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE, SET } from './asn1.ts';
import { type Keys, signingAlgorithm } from './keys.ts';
import { encodePem } from './pem.ts';

const OBJECT_IDENTIFIER = 0x06;
/** 1.2.840.113549.1.9.14 (RFC 2985 section 5.4.2), 2.5.29.17, and 1.2.840.10045.4.3.2 (RFC 5758 section 3.2). */
const EXTENSION_REQUEST = der(OBJECT_IDENTIFIER, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e]);
const SUBJECT_ALT_NAME = der(OBJECT_IDENTIFIER, [0x55, 0x1d, 0x11]);
const ECDSA_WITH_SHA256 = der(SEQUENCE, der(OBJECT_IDENTIFIER, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
const VERSION_1 = der(INTEGER, [0]);
const NO_NAME = der(SEQUENCE);

/**
 * A CSR in PEM. The authority takes the names from the caller's identity, not from the CSR; with `spiffeId` the authority
 * refuses a CSR that names another workload.
 * @param keys ECDSA P-256
 */
export async function createCsr(keys: Keys, spiffeId?: string): Promise<string> {
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey));
  const attributes = der(0xa0, spiffeId === undefined ? [] : alternativeName(spiffeId));
  const info = der(SEQUENCE, VERSION_1, NO_NAME, publicKey, attributes);
  const raw = new Uint8Array(await crypto.subtle.sign(signingAlgorithm, keys.privateKey, info));
  const half = raw.length / 2;
  const signature = der(SEQUENCE, integer(raw.subarray(0, half)), integer(raw.subarray(half)));
  return encodePem('CERTIFICATE REQUEST', der(SEQUENCE, info, ECDSA_WITH_SHA256, der(BIT_STRING, [0], signature)));
}

/** The attribute that asks for one URI name, critical: there is no subject (RFC 5280 section 4.2.1.6). */
function alternativeName(uri: string): Uint8Array {
  const names = der(SEQUENCE, der(0x86, new TextEncoder().encode(uri)));
  const extension = der(SEQUENCE, SUBJECT_ALT_NAME, der(BOOLEAN, [0xff]), der(OCTET_STRING, names));
  return der(SEQUENCE, EXTENSION_REQUEST, der(SET, der(SEQUENCE, extension)));
}

/** Unsigned, as few bytes as there may be (X.690 section 8.3). */
function integer(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const least = bytes.subarray(from);
  return der(INTEGER, least[0]! >= 0x80 ? [0] : [], least);
}

/** An element of the distinguished encoding (X.690 section 8.1), shorter than 64 KiB. */
function der(tag: number, ...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  const out = new Uint8Array(1 + size.length + length);
  out[0] = tag;
  out.set(size, 1);
  let at = 1 + size.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
