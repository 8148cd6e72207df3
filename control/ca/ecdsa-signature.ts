/** ECDSA signatures: X.509 writes two INTEGERs in DER (RFC 3279 section 2.2.3), WebCrypto two numbers of fixed width. */
import { children, INTEGER, only, SEQUENCE } from '../../shared/identity/asn1.ts';
import { type Bytes, sequence, unsignedInteger } from './der-writer.ts';

/** @param signature r and s, each half of it */
export function toDer(signature: Uint8Array): Bytes {
  const half = signature.length / 2;
  return sequence(unsignedInteger(signature.subarray(0, half)), unsignedInteger(signature.subarray(half)));
}

/**
 * @param width bytes of each number: 32 for P-256
 * @returns undefined where it is not two positive numbers of at most that width, or not in the shortest form
 * @throws Error when it is no DER
 */
export function fromDer(der: Uint8Array, width: number): Bytes | undefined {
  const [r, s, ...more] = children(only(der, SEQUENCE).content);
  if (r?.tag !== INTEGER || s?.tag !== INTEGER || more.length > 0) return undefined;
  const out = new Uint8Array(2 * width);
  for (const [number, end] of [
    [r.content, width],
    [s.content, 2 * width],
  ] as const) {
    const digits = positive(number);
    if (digits === undefined || digits.length > width) return undefined;
    out.set(digits, end - digits.length);
  }
  return out;
}

/** The digits of a positive INTEGER without the zero that keeps it positive. */
function positive(content: Uint8Array): Uint8Array | undefined {
  const [first, second] = content;
  if (first === undefined || first & 0x80) return undefined;
  if (first !== 0) return content;
  return second !== undefined && second & 0x80 ? content.subarray(1) : undefined;
}
