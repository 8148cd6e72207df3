/**
 * gRPC's status and what it is in HTTP (github.com/grpc/grpc: "gRPC over HTTP2", "HTTP to gRPC Status Code Mapping"), with
 * Envoy's choices where those leave room (Grpc::Common, Grpc::Utility).
 */
import { GRPC_STATUS_NAMES } from '../../../shared/match/grpc-status.ts';
import type { HeaderMap } from '../message/header-map.ts';

/** Status codes that are used here by name. */
export const GRPC = {
  OK: 0,
  UNKNOWN: 2,
  DEADLINE_EXCEEDED: 4,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

/** What Envoy makes of a grpc-status that is no number. */
export const INVALID_STATUS = -1;

/** By code: the name in Envoy's logs, and its HTTP status. */
const CODES: readonly (readonly [camel: string, http: number])[] = [
  ['OK', 200],
  ['Canceled', 499],
  ['Unknown', 500],
  ['InvalidArgument', 400],
  ['DeadlineExceeded', 504],
  ['NotFound', 404],
  ['AlreadyExists', 409],
  ['PermissionDenied', 403],
  ['ResourceExhausted', 429],
  ['FailedPrecondition', 400],
  ['Aborted', 409],
  ['OutOfRange', 400],
  ['Unimplemented', 501],
  ['Internal', 500],
  ['Unavailable', 503],
  ['DataLoss', 500],
  ['Unauthenticated', 401],
];

/** The largest code that gRPC defines. */
export const LAST_GRPC_STATUS: number = CODES.length - 1;

/** `DeadlineExceeded`; the number of a code that has no name. */
export function camelGrpcStatus(code: number): string {
  return CODES[code]?.[0] ?? String(code);
}

/** `DEADLINE_EXCEEDED`; the number of a code that has no name. */
export function upperGrpcStatus(code: number): string {
  return GRPC_STATUS_NAMES[code] ?? String(code);
}

/** The HTTP status of a gRPC status, where a policy judges HTTP statuses. */
export function httpOfGrpc(code: number): number {
  return CODES[code]?.[1] ?? 500;
}

/** The gRPC status of an HTTP response that has none of its own. */
export function grpcOfHttp(status: number): number {
  switch (status) {
    case 400:
      return GRPC.INTERNAL;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC.UNAVAILABLE;
    default:
      return GRPC.UNKNOWN;
  }
}

/** The content type of gRPC; `application/grpc-web` is not one. */
export function isGrpcType(contentType: string | undefined): boolean {
  if (contentType === undefined || !contentType.startsWith('application/grpc')) return false;
  return contentType.length === 16 || contentType[16] === '+';
}

export function isGrpcRequest(headers: HeaderMap): boolean {
  return isGrpcType(headers.get('content-type'));
}

/** @param end the response is its head alone, which then has the status */
export function isGrpcResponse(status: number, headers: HeaderMap, end: boolean): boolean {
  if (end) return headers.has('grpc-status');
  return status === 200 && isGrpcType(headers.get('content-type'));
}

/**
 * The grpc-status of a head or of trailers; undefined: there is none.
 * @returns `INVALID_STATUS` for what is no code; codes that gRPC does not define are returned as they are
 */
export function readGrpcStatus(fields: HeaderMap | undefined): number | undefined {
  const value = fields?.get('grpc-status');
  if (value === undefined || value === '') return undefined;
  return /^\d{1,9}$/.test(value) ? Number(value) : INVALID_STATUS;
}

/** The status of a response: of its trailers, else of its head, else by its HTTP status; undefined without one. */
export function grpcStatusOf(
  trailers: HeaderMap | undefined,
  headers: HeaderMap | undefined,
  status: number,
): number | undefined {
  return readGrpcStatus(trailers) ?? readGrpcStatus(headers) ?? (status > 0 ? grpcOfHttp(status) : undefined);
}
