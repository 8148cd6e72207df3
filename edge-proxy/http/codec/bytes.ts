/** Conversions between bytes and Latin-1 text, the alphabet of HTTP/1.1 heads (RFC 9112 section 2.2). */

/** Node's, Bun's and Deno's sockets hand out byte arrays with a native Latin-1 decoder. */
interface NativeLatin1 {
  latin1Slice?: Decoder;
}
type Decoder = (this: Uint8Array, start: number, end: number) => string;

/** The native decoder, once a byte array had it: it decodes any other array too. */
let native: Decoder | undefined;
const step = 8192;

/** Decodes `bytes[start, end)`; every byte becomes the character of the same number. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  native ??= (bytes as NativeLatin1).latin1Slice;
  if (native !== undefined) return native.call(bytes, start, end);
  if (end - start <= step) return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
  let text = '';
  for (let at = start; at < end; at += step) text += latin1(bytes, at, Math.min(end, at + step));
  return text;
}

/** Encodes text whose characters are all below U+0100. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** `a` followed by `b`, as one new array. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** The chunks as one array of `length` bytes. */
export function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/**
 * The place behind the empty line that ends a head (CR LF CR LF), at most `limit` bytes of head from `from`; 0 when it
 * is not there. Most bytes are not looked at: one that is no CR and no LF rules out the four places that would hold it.
 */
export function headEnd(bytes: Uint8Array, from: number, limit: number): number {
  const stop = Math.min(bytes.length, from + limit + 4);
  let at = from + 3;
  while (at < stop) {
    const byte = bytes[at]!;
    if (byte > 13 || (byte !== 13 && byte !== 10)) at += 4;
    else if (byte === 13) at += 1;
    else if (bytes[at - 1] === 13 && bytes[at - 2] === 10 && bytes[at - 3] === 13) return at + 1;
    else at += 2;
  }
  return 0;
}
