/** The name of the manager of a request. */
import type { Context } from 'hono';
import { ApiError, badRequest } from '../status.ts';
import { fieldManagerViolation } from './managers.ts';

const MAX_BYTES = 128;

/**
 * `fieldManager`, else the User-Agent up to its first "/", as in Kubernetes.
 * @throws ApiError 422 for a name that is too long or not printable
 */
export function managerOf(c: Context): string {
  const named = c.req.query('fieldManager') ?? '';
  mustBeValid(named);
  return named === '' ? agentOf(c) : named;
}

/** The User-Agent up to its first "/". */
export function agentOf(c: Context): string {
  return fromUserAgent(c.req.header('user-agent') ?? '') || 'unknown';
}

/** @throws ApiError 422 when it is absent or not valid */
export function applyingManagerOf(c: Context): string {
  const named = c.req.query('fieldManager') ?? '';
  if (named === '') throw refusal('FieldValueRequired', 'Required value: is required for apply patch');
  mustBeValid(named);
  return named;
}

/** `force=true` takes fields of other managers. @throws ApiError 400 */
export function isForced(c: Context): boolean {
  const force = c.req.query('force');
  if (force === undefined || force === '' || force === 'false' || force === '0') return false;
  if (force === 'true' || force === '1') return true;
  throw badRequest('force: must be true or false');
}

function mustBeValid(name: string): void {
  const violation = fieldManagerViolation(name);
  if (violation) throw refusal(violation.startsWith('Too long') ? 'FieldValueTooLong' : 'FieldValueInvalid', violation);
}

function refusal(reason: string, message: string): ApiError {
  return new ApiError(422, 'Invalid', `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${message}`, {
    group: 'meta.k8s.io',
    kind: 'PatchOptions',
    causes: [{ reason, message, field: 'fieldManager' }],
  });
}

function fromUserAgent(agent: string): string {
  const encoder = new TextEncoder();
  let [name, bytes] = ['', 0];
  for (const character of agent.split('/')[0] ?? '') {
    if (fieldManagerViolation(character) !== undefined) continue;
    bytes += encoder.encode(character).length;
    if (bytes > MAX_BYTES) break;
    name += character;
  }
  return name;
}
