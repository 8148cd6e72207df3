import { Http2Error } from '../error.ts';

/** A header block that cannot be decoded ends the connection (RFC 9113 section 4.3). */
export function compressionError(message: string): Http2Error {
  return new Http2Error('COMPRESSION_ERROR', message);
}
