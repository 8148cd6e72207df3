/** grpc-message: text in printable ASCII (github.com/grpc/grpc: "gRPC over HTTP2", Percent-Encoded). */

/** What is encoded: all but printable ASCII and the per cent sign; as in Envoy the tilde, too. */
const ENCODED = /[^\x20-\x7d]|%/;

/** As UTF-8, percent-encoded. */
export function percentEncoded(text: string): string {
  return ENCODED.test(text) ? encode(new TextEncoder().encode(text)) : text;
}

function encode(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) {
    out +=
      byte >= 0x20 && byte < 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** Bytes, percent-encoded. */
export function percentEncodedBytes(bytes: Uint8Array): string {
  return encode(bytes);
}

/** Decodes as far as it can: what is no encoding stays as it is, as gRPC asks. @param value one character for each byte */
export function percentDecoded(value: string): string {
  if (!value.includes('%')) return value;
  const bytes: number[] = [];
  for (let i = 0; i < value.length; i++) {
    const digits = value[i] === '%' ? /^[0-9A-Fa-f]{2}/.exec(value.slice(i + 1, i + 3))?.[0] : undefined;
    bytes.push(digits === undefined ? value.charCodeAt(i) : Number.parseInt(digits, 16));
    if (digits !== undefined) i += 2;
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
