/** The statuses of gRPC (github.com/grpc/grpc: "Status codes and their use in gRPC"). */

/** By code. */
export const GRPC_STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

type GrpcStatusName = (typeof GRPC_STATUS_NAMES)[number];

export const grpcCodeOf = (name: GrpcStatusName): number => GRPC_STATUS_NAMES.indexOf(name);
