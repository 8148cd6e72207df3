/**
 * Unknown and duplicate fields: refused, warned of or ignored, as the request's `fieldValidation` demands
 * (kubernetes.io/docs/reference/using-api/api-concepts/#field-validation).
 */
import type { Context } from 'hono';
import type { FieldValidation, Pruned } from '../../../shared/resources/read/unknown-fields.ts';
import type { Violation } from '../../../shared/resources/resource.ts';
import type { Target } from './kinds.ts';
import { optionsOf } from './request-options.ts';
import { ApiError, invalidOptions } from './status.ts';

/** The policy of a request, and the duplicate fields of its body. */
export interface FieldPolicy {
  policy: FieldValidation;
  /** Paths, as `spec.hosts`; the last of the values was taken. */
  duplicates: readonly string[];
}

const POLICIES: ReadonlySet<string> = new Set(['Strict', 'Warn', 'Ignore']);
/** As many as Kubernetes lists. */
const MAX_LISTED = 100;

/** The policy of a request; default Warn, as in a Kubernetes API server. @throws ApiError 422 */
export function fieldPolicy(c: Context, duplicates: readonly string[]): FieldPolicy {
  const asked = c.req.query('fieldValidation') || 'Warn';
  if (POLICIES.has(asked)) return { policy: asked as FieldValidation, duplicates };
  const message = `Unsupported value: ${JSON.stringify(asked.slice(0, 64))}: supported values: "", "Ignore", "Strict", "Warn"`;
  throw invalidOptions(optionsOf(c), { path: 'fieldValidation', rule: 'enum', message });
}

/**
 * The body without its unknown fields, and the warnings to give.
 * @throws ApiError 400 with each of them when the policy is Strict
 */
export function applyFieldPolicy(
  target: Target,
  { value, unknown }: Pruned,
  { policy, duplicates }: FieldPolicy,
): { body: Record<string, unknown>; warnings: Violation[] } {
  const violations = [
    ...unknown.map((path) => ({ path, rule: 'unknown-field', message: `unknown field "${path}"` })),
    ...duplicates.map((path) => ({ path, rule: 'duplicate-field', message: `duplicate field "${path}"` })),
  ].slice(0, MAX_LISTED);
  if (violations.length === 0 || policy === 'Ignore') return { body: value, warnings: [] };
  if (policy === 'Warn') return { body: value, warnings: violations.map((violation) => ({ ...violation, path: '' })) };
  throw refusal(target, violations);
}

function refusal({ kind, version }: Target, violations: readonly Violation[]): ApiError {
  const list = violations.map((violation) => violation.message).join(', ');
  const message = `${kind.kind} in version "${version}" cannot be handled as a ${kind.kind}: strict decoding error: ${list}`;
  return new ApiError(400, 'BadRequest', message, {
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.kind,
    causes: violations.map(({ path, message }) => ({ reason: 'FieldValueForbidden', message, field: path })),
  });
}
