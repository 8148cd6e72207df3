/**
 * Failures in Kubernetes' form: a `Status` object
 * (https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.32/#status-v1-meta).
 */
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Kind } from '../../../shared/resources/kind.ts';
import { kindKey } from '../../../shared/resources/kind.ts';
import type { Violation } from '../../../shared/resources/resource.ts';
import { StoreError } from '../../store/store.ts';

export interface StatusCause {
  reason: string;
  message: string;
  field?: string;
}

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  /** `continue`: where a list may be continued that is refused as too old. */
  metadata: { continue?: string };
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: StatusDetails;
  /** Only of failures. */
  code?: number;
}

/** A refusal with its HTTP status; thrown anywhere below a route. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly code: ContentfulStatusCode;
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  readonly metadata: Status['metadata'];
  constructor(
    code: ContentfulStatusCode,
    reason: string,
    message: string,
    details?: StatusDetails,
    metadata: Status['metadata'] = {},
  ) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
    this.metadata = metadata;
  }

  toStatus(): Status {
    const { code, reason, message, details, metadata } = this;
    const head = { kind: 'Status', apiVersion: 'v1', metadata, status: 'Failure', message, reason } as const;
    return details ? { ...head, details, code } : { ...head, code };
  }
}

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);
export const unauthorized = (message = 'Unauthorized') => new ApiError(401, 'Unauthorized', message);
export const forbidden = (message: string) => new ApiError(403, 'Forbidden', message);
export const pathNotFound = () => new ApiError(404, 'NotFound', 'the server could not find the requested resource');
export const notAcceptable = (offered: string) =>
  new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${offered}`);
export const tooLarge = (limit: number) =>
  new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);
export const unsupportedMediaType = (accepted: readonly string[]) =>
  new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
export const methodNotAllowed = () =>
  new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
export const expired = (message: string) => new ApiError(410, 'Expired', message);

export function notFound(kind: Kind, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${kindKey(kind.group, kind.plural)} "${name}" not found`, named(kind, name));
}

export function invalid(kind: Pick<Kind, 'group' | 'kind'>, name: string, violations: readonly Violation[]): ApiError {
  const lines = violations.map((violation) =>
    violation.path ? `${violation.path}: ${violation.message}` : violation.message,
  );
  const listed = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  const title = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const causes = violations.map(({ path, message, rule }) => ({ reason: causeReason(rule), message, field: path }));
  return new ApiError(422, 'Invalid', `${title} "${name}" is invalid: ${listed}`, {
    ...(name ? { name } : {}),
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.kind,
    causes,
  });
}

/** A refusal of a request's options: `ListOptions`, `DeleteOptions`. */
export function invalidOptions(kind: string, ...violations: readonly Violation[]): ApiError {
  return invalid({ group: 'meta.k8s.io', kind }, '', violations);
}

/** A store error as a response about its resource. Other errors are returned unchanged. */
export function fromStore(error: unknown, kind: Kind, name: string): unknown {
  if (!(error instanceof StoreError)) return error;
  const resource = `${kindKey(kind.group, kind.plural)} "${name}"`;
  switch (error.code) {
    case 'not-found':
      return notFound(kind, name);
    case 'already-exists':
      return new ApiError(409, 'AlreadyExists', `${resource} already exists`, named(kind, name));
    case 'conflict': {
      const message = `Operation cannot be fulfilled on ${resource}: the object has been modified; please apply your changes to the latest version and try again`;
      return new ApiError(409, 'Conflict', message, named(kind, name));
    }
    case 'gone':
      return expired(`too old resource version: ${error.message}`);
    case 'unavailable':
      return error;
  }
}

/** The one place where an error becomes a response. Internal errors go to `report`; details are not sent to clients. */
export function respondToError(report: (error: unknown) => void): (error: Error, c: Context) => Response {
  return (error, c) => {
    const refusal = error instanceof ApiError ? error : internal(error, report);
    const { retryAfterSeconds } = refusal.details ?? {};
    if (retryAfterSeconds !== undefined) c.header('Retry-After', String(retryAfterSeconds));
    if (refusal.code === 401) c.header('WWW-Authenticate', 'Bearer');
    const wait = refusal.details?.retryAfterSeconds;
    if (wait !== undefined) c.header('Retry-After', String(wait));
    return c.json(refusal.toStatus(), refusal.code);
  };
}

/** RFC 4918 section 11.5; Kubernetes' clients repeat it after the time that it names. */
const outOfSpace = () =>
  new ApiError(
    507,
    'InsufficientStorage',
    'nothing was written: the disk of the control plane, or the space of its etcd, is full',
    { retryAfterSeconds: 5 },
  );

/** An error of a file system, of SQLite (SQLITE_FULL) or of etcd (its alarm NOSPACE), or one that it caused. */
function isOutOfSpace(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if (['ENOSPC', 'EDQUOT'].includes((at as NodeJS.ErrnoException).code ?? '')) return true;
    if (/database or disk is full|database space exceeded/.test(at.message)) return true;
  }
  return false;
}

export function success(details: StatusDetails): Status {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}

function internal(error: unknown, report: (error: unknown) => void): ApiError {
  report(error);
  if (isOutOfSpace(error)) return outOfSpace();
  if (error instanceof StoreError)
    return new ApiError(503, 'ServiceUnavailable', 'the store is not available', { retryAfterSeconds: 1 });
  return new ApiError(500, 'InternalError', 'Internal error occurred');
}

function named(kind: Kind, name: string): StatusDetails {
  return { name, ...(kind.group ? { group: kind.group } : {}), kind: kind.plural };
}

function causeReason(rule: string): string {
  if (rule === 'required') return 'FieldValueRequired';
  if (rule === 'unknown-field') return 'FieldValueForbidden';
  if (rule === 'enum') return 'FieldValueNotSupported';
  if (rule === 'forbidden') return 'FieldValueForbidden';
  return 'FieldValueInvalid';
}
