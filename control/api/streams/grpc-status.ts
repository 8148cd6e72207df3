/** How a gRPC call ends (github.com/grpc/grpc: doc/statuscodes.md, doc/PROTOCOL-HTTP2.md). */
import { DiscoveryError } from '../../discovery/discovery-error.ts';
import { EnvoyApiError } from '../../envoy-api/envoy-api.ts';
import { RegistrationError } from '../../workloads/registration-error.ts';
import { ApiError } from '../resources/status.ts';

export const GRPC = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcCode = (typeof GRPC)[keyof typeof GRPC];

export class GrpcError extends Error {
  override name = 'GrpcError';
  readonly code: GrpcCode;
  constructor(code: GrpcCode, message: string) {
    super(message);
    this.code = code;
  }
}

const OF_HTTP: Readonly<Record<number, GrpcCode>> = {
  400: GRPC.INVALID_ARGUMENT,
  401: GRPC.UNAUTHENTICATED,
  403: GRPC.PERMISSION_DENIED,
  409: GRPC.ALREADY_EXISTS,
  413: GRPC.RESOURCE_EXHAUSTED,
  429: GRPC.RESOURCE_EXHAUSTED,
  503: GRPC.UNAVAILABLE,
};

const OF_DISCOVERY: Readonly<Record<DiscoveryError['code'], GrpcCode>> = {
  invalid: GRPC.INVALID_ARGUMENT,
  limited: GRPC.RESOURCE_EXHAUSTED,
  ambiguous: GRPC.ALREADY_EXISTS,
  unavailable: GRPC.UNAVAILABLE,
};

/** A service's error as it is sent to the client; undefined: an internal one, whose details are not sent. */
export function grpcErrorOf(error: unknown): GrpcError | undefined {
  if (error instanceof GrpcError) return error;
  if (error instanceof DiscoveryError) return new GrpcError(OF_DISCOVERY[error.code], error.message);
  if (error instanceof EnvoyApiError) return new GrpcError(GRPC.INVALID_ARGUMENT, error.message);
  if (error instanceof RegistrationError)
    return new GrpcError(error.code === 'conflict' ? GRPC.ALREADY_EXISTS : GRPC.PERMISSION_DENIED, error.message);
  const code = error instanceof ApiError ? OF_HTTP[error.code] : undefined;
  return code === undefined ? undefined : new GrpcError(code, (error as Error).message);
}

/** As trailers, or as the headers of an answer without a body. */
export function statusFields(code: GrpcCode, message = ''): Record<string, string> {
  const fields = { 'grpc-status': String(code) };
  return message === '' ? fields : { ...fields, 'grpc-message': encodeMessage(message) };
}

/** Percent-encoded UTF-8; space to `~` but `%` stay. */
function encodeMessage(message: string): string {
  let out = '';
  for (const byte of Buffer.from(message.slice(0, 1024)))
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return out;
}
