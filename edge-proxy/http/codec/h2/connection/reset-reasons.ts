/** Envoy's correspondence of the reasons for which streams end and HTTP/2's error codes. */
import type { ResetReason } from '../../../message/stream.ts';
import { ERROR_CODES } from '../error.ts';

/** The code of RST_STREAM when this side gives a stream up. */
export function resetCode(reason: ResetReason): number {
  switch (reason) {
    case 'refused_stream':
    case 'overflow':
      return ERROR_CODES.REFUSED_STREAM;
    case 'protocol_error':
      return ERROR_CODES.PROTOCOL_ERROR;
    case 'connection_termination':
    case 'remote_connection_failure':
    case 'connection_timeout':
      return ERROR_CODES.CONNECT_ERROR;
    default:
      return ERROR_CODES.INTERNAL_ERROR;
  }
}

/** Why the peer reset a stream. */
export function resetReason(code: number): ResetReason {
  if (code === ERROR_CODES.REFUSED_STREAM) return 'refused_stream';
  return code === ERROR_CODES.PROTOCOL_ERROR ? 'protocol_error' : 'remote_reset';
}
