/** A protocol error of a peer, named as Envoy names it in %RESPONSE_CODE_DETAILS%. */

export type CodecErrorDetails =
  | 'http1.codec_error'
  | 'http1.invalid_characters'
  | 'http1.invalid_url'
  | 'http1.invalid_transfer_encoding'
  | 'http1.content_length_and_chunked_not_allowed'
  | 'http1.transfer_encoding_not_allowed'
  | 'http1.body_disallowed'
  | 'http1.headers_too_large'
  | 'http1.too_many_headers'
  | 'missing_host_header'
  | 'path_normalization_failed'
  | 'low_version'
  | 'uri_too_long';

/** Never carries what the peer sent: it ends in logs. */
export class CodecError extends Error {
  override readonly name = 'CodecError';
  /** The status a server answers with. */
  readonly status: number;
  readonly details: CodecErrorDetails;

  constructor(status: number, details: CodecErrorDetails, message: string) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

export function codecError(message: string): CodecError {
  return new CodecError(400, 'http1.codec_error', message);
}
