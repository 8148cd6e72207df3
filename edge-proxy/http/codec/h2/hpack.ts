/**
 * Header compression (RFC 7541): decoding whole, with the dynamic table; encoding with the static table and literals, so
 * that the size of one request reveals nothing of another (section 7.1).
 */
import { latin1 } from '../bytes.ts';
import { Http2Error } from './error.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import { type Field, STATIC_FIELDS, STATIC_NAMES, STATIC_TABLE } from './static-table.ts';

/** What a field counts for beside its bytes (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
const OVERHEAD = 32;
/** SETTINGS_HEADER_TABLE_SIZE before one is received. */
export const DEFAULT_TABLE_SIZE = 4096;

export const sizeOf = ([name, value]: Field): number => name.length + value.length + OVERHEAD;

function malformed(message: string): Http2Error {
  return new Http2Error('COMPRESSION_ERROR', message);
}

export interface DecoderLimits {
  /** Bytes of the dynamic table: as our SETTINGS_HEADER_TABLE_SIZE announced. */
  readonly tableSize: number;
  /** Of one list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly listSize: number;
  readonly fields: number;
}

/** The decoding side of a connection. Blocks must be given whole, each once, in the order in which they came. */
export class HpackDecoder {
  private readonly limits: DecoderLimits;
  /** Newest last. */
  private readonly table: Field[] = [];
  private tableBytes = 0;
  private capacity: number;
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;

  constructor(limits: DecoderLimits) {
    this.limits = limits;
    this.capacity = limits.tableSize;
  }

  /** @throws Http2Error after which the connection cannot be read any further */
  decode(block: Uint8Array): Field[] {
    this.bytes = block;
    this.at = 0;
    const fields: Field[] = [];
    let size = 0;
    while (this.at < block.length) {
      const first = block[this.at]!;
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) throw malformed('a table size update follows a field');
        this.resize(this.integer(5));
        continue;
      }
      const field = this.field(first);
      size += sizeOf(field);
      if (size > this.limits.listSize) throw new Http2Error('ENHANCE_YOUR_CALM', 'the header list is too long');
      if (fields.push(field) > this.limits.fields) throw new Http2Error('ENHANCE_YOUR_CALM', 'too many header fields');
    }
    return fields;
  }

  private field(first: number): Field {
    if (first >= 0x80) return this.indexed(this.integer(7));
    const indexes = first >= 0x40;
    const index = this.integer(indexes ? 6 : 4);
    const name = index === 0 ? this.string() : this.indexed(index)[0];
    const field: Field = [name, this.string()];
    if (indexes) this.add(field);
    return field;
  }

  private indexed(index: number): Field {
    const known = index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : undefined;
    const field = known ?? this.table[this.table.length - (index - STATIC_TABLE.length)];
    if (index === 0 || field === undefined) throw malformed('an index names no field');
    return field;
  }

  private add(field: Field): void {
    const size = sizeOf(field);
    this.evict(this.capacity - size);
    // Larger than the whole table: it only empties it (section 4.4).
    if (size > this.capacity) return;
    this.table.push(field);
    this.tableBytes += size;
  }

  private resize(capacity: number): void {
    if (capacity > this.limits.tableSize) throw malformed('a table size update exceeds the limit');
    this.capacity = capacity;
    this.evict(capacity);
  }

  /** Drops the oldest until no more than `room` bytes are held. */
  private evict(room: number): void {
    let oldest = 0;
    while (this.tableBytes > room && oldest < this.table.length) this.tableBytes -= sizeOf(this.table[oldest++]!);
    if (oldest > 0) this.table.splice(0, oldest);
  }

  /** Section 5.1; at most four bytes behind the prefix: no length or index here is larger. */
  private integer(prefix: number): number {
    const most = (1 << prefix) - 1;
    let value = this.byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw malformed('an integer is too long');
  }

  private string(): string {
    const huffman = this.at < this.bytes.length && this.bytes[this.at]! >= 0x80;
    const length = this.integer(7);
    const start = this.at;
    if (length > this.bytes.length - start) throw malformed('a string is cut off');
    this.at += length;
    return huffman ? huffmanDecode(this.bytes, start, this.at) : latin1(this.bytes, start, this.at);
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw malformed('a header block is cut off');
    return this.bytes[this.at++]!;
  }
}

/** Fields that must not enter a table on the way (section 7.1.3). */
const SECRET: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);

/** The encoding side of a connection; it keeps no dynamic table. */
export class HpackEncoder {
  private peerTableSize = DEFAULT_TABLE_SIZE;
  private owesUpdate = false;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE: a smaller one must be acknowledged in the next block (RFC 9113 section 4.3.1). */
  limitTable(size: number): void {
    if (size < this.peerTableSize) this.owesUpdate = true;
    this.peerTableSize = size;
  }

  /** @param fields names in lower case, pseudo-header fields first */
  encode(fields: readonly Field[]): Uint8Array {
    const out: number[] = [];
    if (this.owesUpdate) out.push(0x20);
    this.owesUpdate = false;
    for (const field of fields) encodeField(out, field);
    return Uint8Array.from(out);
  }
}

function encodeField(out: number[], [name, value]: Field): void {
  const whole = STATIC_FIELDS.get(`${name}\0${value}`);
  if (whole !== undefined) {
    encodeInteger(out, 0x80, 7, whole);
    return;
  }
  const index = STATIC_NAMES.get(name) ?? 0;
  encodeInteger(out, SECRET.has(name) ? 0x10 : 0, 4, index);
  if (index === 0) encodeString(out, name);
  encodeString(out, value);
}

function encodeInteger(out: number[], pattern: number, prefix: number, value: number): void {
  const most = (1 << prefix) - 1;
  if (value < most) {
    out.push(pattern | value);
    return;
  }
  out.push(pattern | most);
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128);
  out.push(rest);
}

function encodeString(out: number[], text: string): void {
  const short = huffmanLength(text);
  if (short < text.length) {
    encodeInteger(out, 0x80, 7, short);
    for (const byte of huffmanEncode(text)) out.push(byte);
    return;
  }
  encodeInteger(out, 0, 7, text.length);
  for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
}
