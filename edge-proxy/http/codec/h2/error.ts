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

/** Ends the stream alone; where no stream is distinguished it ends the connection, as its base does. */
export class Http2StreamError extends Http2Error {
  override readonly name = 'Http2StreamError';
}

/** A malformed message (RFC 9113 section 8.1.1): see Http2Options.resetsStreamOnMalformed. */
export class MalformedMessage extends Http2StreamError {
  constructor(message: string) {
    super('PROTOCOL_ERROR', message);
  }
}
