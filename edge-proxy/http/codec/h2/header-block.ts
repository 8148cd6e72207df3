/** The seam between HPACK and the connection: header blocks in and out, field by field, without an object for each field. */
import type { ByteBuffer } from './byte-buffer.ts';

/** Receives the fields of one block in their order. It may throw: the rest of the block is then still decoded, unheard. */
export interface FieldSink {
  /**
   * @param name as sent; characters below U+0100, as of `value`
   * @param neverIndexed sent so that no hop may index it; it must be passed on so (RFC 7541 section 6.2.3)
   */
  onField(name: string, value: string, neverIndexed: boolean): void;
}

/** The decoding side of a connection. Every block must be given, whole and in the order in which they came. */
export interface HeaderDecoder {
  /**
   * Decodes `bytes[start, end)`.
   * @throws Http2Error COMPRESSION_ERROR, after which the connection cannot be read any further; or, once the block is
   *   decoded, what `sink.onField` threw first or Http2StreamError for a list above the limits, with the table in order for
   *   the next block
   */
  decode(bytes: Uint8Array, start: number, end: number, sink: FieldSink): void;
}

/** The encoding side of a connection. */
export interface HeaderEncoder {
  /** The peer's SETTINGS_HEADER_TABLE_SIZE; the next block acknowledges a change (RFC 9113 section 4.3.1). */
  limitTable(size: number): void;
  /** Begins a block. */
  begin(out: ByteBuffer): void;
  /**
   * @param name in lower case. Credentials are encoded as never indexed (RFC 7541 section 7.1.3), as any field is that came
   *   so
   * @throws RangeError for NUL, CR, LF and a character above U+00FF; the block must not be sent, nor any block after it
   */
  field(out: ByteBuffer, name: string, value: string, neverIndexed?: boolean): void;
}
