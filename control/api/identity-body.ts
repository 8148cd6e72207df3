/** What the routes of identity have in common: strict bodies, answers that hold secrets, times. */
import type { Context } from 'hono';
import * as z from 'zod';
import type { ApiEnv } from './caller.ts';
import { ApiError } from './resources/status.ts';
import { type JsonLimits, readJson } from './server/read-json.ts';

export const DnsLabel = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label (RFC 1123)');
export const DnsSubdomain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/, 'must be a DNS subdomain (RFC 1123)');

/** @throws ApiError 422 naming each field; 400, 408, 413, 415 as readJson */
export async function readRequest<Schema extends z.ZodType>(
  c: Context<ApiEnv>,
  schema: Schema,
  limits: JsonLimits,
): Promise<z.infer<Schema>> {
  const parsed = schema.safeParse(await readJson(c, limits));
  if (parsed.success) return parsed.data;
  throw invalidRequest(parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), message })));
}

export function invalidRequest(violations: readonly { field: string; message: string }[]): ApiError {
  const causes = violations.map(({ field, message }) => ({ reason: 'FieldValueInvalid', message, field }));
  const listed = causes.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join(', ');
  return new ApiError(422, 'Invalid', `the request is invalid: ${listed}`, { causes });
}

/** Responses that hold credentials must not be cached. */
export function secretAnswer(c: Context<ApiEnv>, body: object): Response {
  c.header('Cache-Control', 'no-store');
  return c.json(body);
}

export const rfc3339 = (milliseconds: number): string => new Date(milliseconds).toISOString();
