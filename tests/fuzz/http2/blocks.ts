/** Header blocks: well-formed ones as peers send them, and mutations of them. */
import { ByteBuffer } from '../../../edge-proxy/http/codec/h2/byte-buffer.ts';
import { writeCompactString, writeInteger, writeString } from '../../../edge-proxy/http/codec/h2/hpack/primitives.ts';
import type { Random } from '../random.ts';

const NAMES = ['a', 'x-request-id', 'cookie', 'content-length', 'te', 'host', 'user-agent', 'A', ':path', ':foo', ''];
const VALUES = ['', 'a', '3', 'trailers', 'a.test', 'x'.repeat(40), '~'.repeat(300), '\u00ff\u00fe', 'a b'];
const NUMBERS = [
  0,
  1,
  2,
  7,
  30,
  31,
  32,
  61,
  62,
  63,
  64,
  65,
  70,
  126,
  127,
  128,
  4095,
  4096,
  4097,
  65_536,
  2 ** 27,
  2 ** 31 - 1,
];

/** One representation of a field (RFC 7541 section 6). */
function representation(out: ByteBuffer, random: Random): void {
  const kind = random.below(10);
  if (kind < 4) {
    // Mostly indexes that exist.
    writeInteger(out, 0x80, 7, random.chance(0.9) ? 1 + random.below(63) : random.pick(NUMBERS));
    return;
  }
  const [pattern, prefix] = kind < 7 ? ([0x40, 6] as const) : kind < 9 ? ([0x00, 4] as const) : ([0x10, 4] as const);
  const index = random.chance(0.5) ? 0 : random.chance(0.9) ? 1 + random.below(63) : random.pick(NUMBERS);
  writeInteger(out, pattern, prefix, index);
  if (index === 0) text(out, random, random.pick(NAMES));
  text(out, random, random.pick(VALUES));
}

function text(out: ByteBuffer, random: Random, given: string): void {
  if (random.chance(0.5)) writeString(out, given);
  else writeCompactString(out, given);
}

/** Changes a few bytes: a bit, a byte, a cut, a repetition, bytes from nowhere. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  const list = [...bytes];
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(list.length + 1);
    const kind = random.below(6);
    if (kind === 0 && at < list.length) list[at]! ^= 1 << random.below(8);
    else if (kind === 1 && at < list.length)
      list[at] = random.pick([0, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0x82, 0xbe, 0xff]);
    else if (kind === 2) list.length = at;
    else if (kind === 3) list.splice(at, 0, ...list.slice(at, at + random.below(8)));
    else if (kind === 4) list.splice(at, random.below(4));
    else list.splice(at, 0, ...Array.from({ length: random.below(6) }, () => random.below(256)));
  }
  return Uint8Array.from(list);
}

/** A request's block, often mutated. */
export function block(random: Random): Uint8Array {
  const out = new ByteBuffer();
  for (let updates = random.chance(0.15) ? 1 + random.below(3) : 0; updates > 0; updates--)
    writeInteger(out, 0x20, 5, random.pick(NUMBERS));
  if (random.chance(0.8)) {
    // GET, http, / and an authority.
    out.append(Uint8Array.of(0x82, 0x86, 0x84, 0x41));
    text(out, random, 'a.test');
  }
  for (let fields = random.below(8); fields > 0; fields--) representation(out, random);
  const bytes = out.bytes.slice(0, out.length);
  return random.chance(0.6) ? mutate(bytes, random) : bytes;
}
