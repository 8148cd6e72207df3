/** Header compression (RFC 7541), behind the seam of header-block.ts. */
export { DEFAULT_TABLE_SIZE, type DecoderLimits, HpackDecoder } from './hpack/decoder.ts';
export { HpackEncoder } from './hpack/encoder.ts';
