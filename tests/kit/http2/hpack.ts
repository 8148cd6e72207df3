/**
 * HPACK of the test kit (RFC 7541), apart from the product's so that a mistake of one shows. Written are literals alone,
 * without Huffman coding or indexing; read is everything.
 */

/** Name and value, one character a byte; nothing is checked. */
export type Field = readonly [name: string, value: string];

/** An integer with a prefix of `bits` bits below `first` (section 5.1). */
export function integer(value: number, bits: number, first: number): number[] {
  const most = 2 ** bits - 1;
  if (value < most) return [first | value];
  const out = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push(128 + (rest % 128));
  return [...out, rest];
}

const text = (value: string) => Buffer.concat([Buffer.from(integer(value.length, 7, 0)), Buffer.from(value, 'latin1')]);

/** Literals without indexing. */
export const literals = (fields: readonly Field[]): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
/** A literal that enters the dynamic table. */
export const indexedLiteral = ([name, value]: Field): Buffer =>
  Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
/** A field of a table. */
export const indexed = (index: number): Buffer => Buffer.from(integer(index, 7, 0x80));
export const tableSize = (size: number): Buffer => Buffer.from(integer(size, 5, 0x20));

const STATIC =
  ':authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|' +
  ':status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate';
const STATIC_TABLE: readonly Field[] = STATIC.split('|').map((entry): Field => {
  const space = entry.indexOf(' ');
  return space < 0 ? [entry, ''] : [entry.slice(0, space), entry.slice(space + 1)];
});

/**
 * Bits of the code of each symbol, EOS last (appendix B): A is 5, Z is 30, a number repeats. The code is canonical, so
 * lengths say everything.
 */
const LENGTHS =
  'ISX7TZXXZX8ZX9BFFHIBDGFFDGDBBBAAAB7CDKBHFIBC22DCDIOIJBKABABABBBACCBBBABCBAABC5KGJIXPRPPRRRSRS5TSTTRSTS4QRSRSST' +
  'RQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVW5XW5VZ';
const CODES = canonical(
  [...LENGTHS.matchAll(/([A-Z])(\d*)/g)].flatMap(([, letter, times]) =>
    Array.from({ length: Number(times || 1) }, () => letter!.charCodeAt(0) - 60),
  ),
);

function canonical(lengths: readonly number[]): ReadonlyMap<string, number> {
  const codes = new Map<string, number>();
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    lengths.forEach((own, symbol) => {
      if (own === length) codes.set((code++).toString(2).padStart(length, '0'), symbol);
    });
    code *= 2;
  }
  return codes;
}

function huffman(bytes: Uint8Array): string {
  let out = '';
  let bits = '';
  for (const byte of bytes)
    for (const bit of byte.toString(2).padStart(8, '0')) {
      bits += bit;
      const symbol = CODES.get(bits);
      if (symbol === undefined) {
        if (bits.length > 30) throw new Error('no Huffman code');
        continue;
      }
      out += String.fromCharCode(symbol);
      bits = '';
    }
  if (!/^1{0,7}$/.test(bits)) throw new Error('a Huffman string with wrong padding');
  return out;
}

/** Decodes the blocks of one connection, in their order. */
export class HpackReader {
  private readonly table: Field[] = [];
  private limit = 4096;

  /** @throws Error where the block is malformed */
  read(block: Uint8Array): Field[] {
    const out: Field[] = [];
    let at = 0;
    const number = (bits: number): number => {
      const most = 2 ** bits - 1;
      let value = block[at++]! & most;
      if (value < most) return value;
      for (let scale = 1; ; scale *= 128) {
        const byte = block[at++];
        if (byte === undefined) throw new Error('an integer that does not end');
        value += (byte & 127) * scale;
        if (byte < 128) return value;
      }
    };
    const string = (): string => {
      const coded = (block[at]! & 128) !== 0;
      const length = number(7);
      const bytes = block.subarray(at, (at += length));
      if (bytes.length < length) throw new Error('a string longer than its block');
      return coded ? huffman(bytes) : Buffer.from(bytes).toString('latin1');
    };
    while (at < block.length) {
      const first = block[at]!;
      if (first & 0x80) out.push(this.entry(number(7)));
      else if ((first & 0xe0) === 0x20) this.resize(number(5));
      else {
        const enters = (first & 0x40) !== 0;
        const index = number(enters ? 6 : 4);
        const name = index === 0 ? string() : this.entry(index)[0];
        const field: Field = [name, string()];
        out.push(field);
        if (enters) this.enter(field);
      }
    }
    return out;
  }

  private entry(index: number): Field {
    const found = index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.table[index - STATIC_TABLE.length - 1];
    if (!found) throw new Error(`no entry ${index}`);
    return found;
  }

  private enter(field: Field): void {
    this.table.unshift(field);
    this.evict();
  }

  private resize(size: number): void {
    this.limit = size;
    this.evict();
  }

  private evict(): void {
    const sizeOf = ([name, value]: Field) => name.length + value.length + 32;
    let size = this.table.reduce((sum, field) => sum + sizeOf(field), 0);
    while (size > this.limit) size -= sizeOf(this.table.pop()!);
  }
}
