/** Errors of an HTTP/2 peer, with the code that is sent back (RFC 9113 section 7). Messages never carry what the peer sent. */
import type { Http2CounterName } from './counters.ts';

export const ERROR_CODES = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;
export type ErrorName = keyof typeof ERROR_CODES;

/** Ends the connection. */
export class Http2Error extends Error {
  override readonly name: string = 'Http2Error';
  readonly code: number;
  /** What is counted when the connection ends for it. */
  readonly counter: Http2CounterName | undefined;

  constructor(code: ErrorName, message: string, counter?: Http2CounterName) {
    super(message);
    this.code = ERROR_CODES[code];
    this.counter = counter;
  }
}

/** What Envoy's %RESPONSE_CODE_DETAILS% says of a stream that ends so. */
export type StreamErrorDetails =
  | 'http2.invalid.header.field'
  | 'http2.violation.of.messaging.rule'
  | 'http2.too_many_headers'
  | 'http2.header_list_size_too_large'
  | 'http2.unexpected_underscore'
  | 'http2.remote_reset';

/** Ends the stream alone; where no stream is distinguished it ends the connection, as its base does. */
export class Http2StreamError extends Http2Error {
  override readonly name: string = 'Http2StreamError';
  readonly details: StreamErrorDetails;

  constructor(code: ErrorName, details: StreamErrorDetails, message: string) {
    super(code, message);
    this.details = details;
  }
}

/** A malformed message (RFC 9113 section 8.1.1): see Http2Options.resetsStreamOnMalformed. */
export class MalformedMessage extends Http2StreamError {
  override readonly name = 'MalformedMessage';

  constructor(details: 'http2.invalid.header.field' | 'http2.violation.of.messaging.rule', message: string) {
    super('PROTOCOL_ERROR', details, message);
  }
}

/** Of one field. */
export function invalidField(message: string): MalformedMessage {
  return new MalformedMessage('http2.invalid.header.field', message);
}

/** Of the fields together, or of how they go with the frames. */
export function invalidMessage(message: string): MalformedMessage {
  return new MalformedMessage('http2.violation.of.messaging.rule', message);
}
