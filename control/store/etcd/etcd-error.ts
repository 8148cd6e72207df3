/** Errors of etcd's JSON API, by the gRPC codes they carry (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */

export type EtcdErrorCode = 'unavailable' | 'compacted';

interface Nature {
  /** Another member may be able to answer. */
  isOfMember?: boolean;
  /** The request was sent, so it may have taken effect. */
  mayHaveRun?: boolean;
  /** The token was refused. */
  isOfToken?: boolean;
  /** The user may not do this. */
  isForbidden?: boolean;
  cause?: unknown;
}

export class EtcdError extends Error {
  override name = 'EtcdError';
  readonly code: EtcdErrorCode;
  readonly isOfMember: boolean;
  readonly mayHaveRun: boolean;
  readonly isOfToken: boolean;
  readonly isForbidden: boolean;
  constructor(code: EtcdErrorCode, message: string, nature: Nature = {}) {
    super(message, nature.cause === undefined ? undefined : { cause: nature.cause });
    this.code = code;
    this.isOfMember = nature.isOfMember ?? false;
    this.mayHaveRun = nature.mayHaveRun ?? false;
    this.isOfToken = nature.isOfToken ?? false;
    this.isForbidden = nature.isForbidden ?? false;
  }
}

const GRPC = {
  cancelled: 1,
  unknown: 2,
  invalid: 3,
  deadline: 4,
  forbidden: 7,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
};
const OF_MEMBER = new Set([GRPC.cancelled, GRPC.unknown, GRPC.deadline, GRPC.unavailable]);

/** The meaning of an answer that is no success. */
export function errorOfAnswer(status: number, text: string, endpoint: string): EtcdError {
  const { code = 0, message = '' } = parsed(text);
  const remedy = /^CommonName/.test(message)
    ? ' (etcd with authentication takes client certificates without a common name only: use one, and --etcd-user)'
    : '';
  const said = `etcd ${endpoint}: ${message || `HTTP status ${status}`}${remedy}`;
  if (code === GRPC.outOfRange && /compacted/.test(message)) return new EtcdError('compacted', said);
  const isOfToken = code === GRPC.unauthenticated || /auth store is old|user name is empty/.test(message);
  const isOfMember = OF_MEMBER.has(code) || (code === 0 && status >= 500);
  return new EtcdError('unavailable', said, {
    isOfMember,
    mayHaveRun: isOfMember,
    isOfToken,
    isForbidden: code === GRPC.forbidden,
  });
}

function parsed(text: string): { code?: number; message?: string } {
  try {
    const value = JSON.parse(text) as { code?: number; grpc_code?: number; message?: string } | null;
    return { code: value?.code ?? value?.grpc_code ?? 0, message: String(value?.message ?? '') };
  } catch {
    return { message: text.slice(0, 200).trim() };
  }
}

/** Errors of a connection that was never there: the request was not sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ConnectionRefused',
]);

/** What a connection failed with, as EtcdError; an EtcdError is returned as it is. */
export function errorOfConnection(error: unknown, endpoint: string): EtcdError {
  if (error instanceof EtcdError) return error;
  const { code, name } = error as { code?: string; name?: string };
  const message =
    name === 'TimeoutError' ? 'no answer in time' : error instanceof Error ? error.message : String(error);
  return new EtcdError('unavailable', `etcd ${endpoint}: ${message || code}`, {
    isOfMember: true,
    mayHaveRun: !NOT_SENT.has(code ?? ''),
    cause: error,
  });
}
