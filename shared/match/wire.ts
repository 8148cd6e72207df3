/**
 * Text on the wire: a head's fields are bytes, kept as text of one character a byte. Configuration is Unicode, which
 * Envoy compares as UTF-8: `é` in a matcher is the two bytes C3 A9 of a header.
 */

const NOT_ASCII = /[^\u0000-\u007f]/;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Configured text as it would come on the wire: its UTF-8 bytes, one character each. */
export function wireText(text: string): string {
  if (!NOT_ASCII.test(text)) return text;
  let out = '';
  for (const byte of encoder.encode(text)) out += String.fromCharCode(byte);
  return out;
}

/** The text of bytes on the wire, or undefined when they are not UTF-8. */
export function textOfWire(wire: string): string | undefined {
  if (!NOT_ASCII.test(wire)) return wire;
  const bytes = new Uint8Array(wire.length);
  for (let i = 0; i < wire.length; i++) {
    const code = wire.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
