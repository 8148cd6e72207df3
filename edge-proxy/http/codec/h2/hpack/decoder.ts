/** The decoding side of HPACK (RFC 7541). */
import { latin1 } from '../../bytes.ts';
import { Http2StreamError } from '../error.ts';
import type { FieldSink, HeaderDecoder } from '../header-block.ts';
import type { Http2Options } from '../options.ts';
import { compressionError } from './compression-error.ts';
import { DecoderTable, OVERHEAD } from './decoder-table.ts';
import { huffmanDecode } from './huffman.ts';
import { decodeName } from './name-cache.ts';
import { LAST_STATIC, STATIC_NAMES, STATIC_VALUES } from './static-table.ts';

/** SETTINGS_HEADER_TABLE_SIZE before one is acknowledged. */
export const DEFAULT_TABLE_SIZE = 4096;
/** The smallest size and the last one, however often it changed (section 4.2). */
const MOST_SIZE_UPDATES = 2;
const NOTHING = new Uint8Array(0);

export type DecoderLimits = Pick<Http2Options, 'headerTableSize' | 'maxHeadBytes' | 'maxFields'>;

export class HpackDecoder implements HeaderDecoder {
  private readonly limits: DecoderLimits;
  private readonly table = new DecoderTable(DEFAULT_TABLE_SIZE);
  /** The largest table that the encoder may choose. */
  private largest: number;
  /** The next block must begin with a size update: the table is larger than the limit. */
  private awaitsUpdate = false;
  private bytes: Uint8Array = NOTHING;
  private at = 0;
  private end = 0;
  /** Of the list that is being decoded, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  private listBytes = 0;
  private fields = 0;
  private heard = true;
  private thrown: unknown;

  constructor(limits: DecoderLimits) {
    this.limits = limits;
    this.largest = Math.max(limits.headerTableSize, DEFAULT_TABLE_SIZE);
  }

  /** The peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE: blocks that follow keep to it (RFC 9113 section 4.3.1). */
  onSettingsAck(): void {
    this.largest = this.limits.headerTableSize;
    this.awaitsUpdate = this.table.capacity > this.largest;
  }

  decode(bytes: Uint8Array, start: number, end: number, sink: FieldSink): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.listBytes = 0;
    this.fields = 0;
    this.heard = true;
    this.thrown = undefined;
    this.sizeUpdates();
    while (this.at < this.end) this.field(sink);
    // What was read into it may be a large buffer.
    this.bytes = NOTHING;
    if (!this.heard) throw this.thrown;
  }

  private sizeUpdates(): void {
    for (let updates = 0; this.at < this.end && (this.bytes[this.at]! & 0xe0) === 0x20; updates++) {
      if (updates === MOST_SIZE_UPDATES) throw compressionError('too many table size updates');
      const size = this.integer(0x1f);
      if (size > this.largest) throw compressionError('a table size update exceeds the limit');
      this.table.resize(size);
      this.awaitsUpdate = false;
    }
    if (this.awaitsUpdate) throw compressionError('the table size was not reduced');
  }

  private field(sink: FieldSink): void {
    const first = this.bytes[this.at]!;
    if (first >= 0x80) this.indexed(sink, this.integer(0x7f));
    else if (first >= 0x40) {
      const name = this.literalName(0x3f);
      const value = this.value();
      this.table.add(name, value);
      this.emit(sink, name, value, false);
    } else if (first >= 0x20) throw compressionError('a table size update follows a field');
    else {
      const name = this.literalName(0x0f);
      this.emit(sink, name, this.value(), first >= 0x10);
    }
  }

  private indexed(sink: FieldSink, index: number): void {
    if (index <= LAST_STATIC && index > 0) {
      this.emit(sink, STATIC_NAMES[index]!, STATIC_VALUES[index]!, false);
      return;
    }
    const age = this.ageOf(index);
    // A block may hold thousands of them behind the limits of a list.
    if (this.heard) this.emit(sink, this.table.name(age), this.table.value(age), false);
  }

  private emit(sink: FieldSink, name: string, value: string, neverIndexed: boolean): void {
    if (!this.heard) return;
    this.fields++;
    this.listBytes += name.length + value.length + OVERHEAD;
    try {
      if (this.fields > this.limits.maxFields) throw tooMany();
      if (this.listBytes > this.limits.maxHeadBytes) throw tooLarge();
      sink.onField(name, value, neverIndexed);
    } catch (error) {
      this.heard = false;
      this.thrown = error;
    }
  }

  private nameAt(index: number): string {
    if (index <= LAST_STATIC && index > 0) return STATIC_NAMES[index]!;
    return this.table.name(this.ageOf(index));
  }

  private ageOf(index: number): number {
    const age = index - LAST_STATIC - 1;
    if (index === 0 || age >= this.table.length) throw compressionError('an index names no field');
    return age;
  }

  private literalName(mask: number): string {
    const index = this.integer(mask);
    if (index > 0) return this.nameAt(index);
    const huffman = this.isHuffman();
    const start = this.string();
    return decodeName(this.bytes, start, this.at, huffman);
  }

  private value(): string {
    const huffman = this.isHuffman();
    const start = this.string();
    if (start === this.at) return '';
    return huffman ? huffmanDecode(this.bytes, start, this.at) : latin1(this.bytes, start, this.at);
  }

  /** Section 5.1; at most four bytes behind the prefix: no length or index here is larger. @param mask the prefix's bits */
  private integer(mask: number): number {
    let value = this.byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw compressionError('an integer is too long');
  }

  private isHuffman(): boolean {
    return this.at < this.end && this.bytes[this.at]! >= 0x80;
  }

  /** Passes over a string. @returns where its characters begin */
  private string(): number {
    const length = this.integer(0x7f);
    const start = this.at;
    if (length > this.end - start) throw compressionError('a string is cut off');
    this.at = start + length;
    return start;
  }

  private byte(): number {
    if (this.at >= this.end) throw compressionError('a header block is cut off');
    return this.bytes[this.at++]!;
  }
}

// The table stays in order, so the connection need not end with such a list. The code is the one that Envoy resets with.

function tooMany(): Http2StreamError {
  return new Http2StreamError('INTERNAL_ERROR', 'http2.too_many_headers', 'too many header fields');
}

function tooLarge(): Http2StreamError {
  return new Http2StreamError('INTERNAL_ERROR', 'http2.header_list_size_too_large', 'the header list is too large');
}
