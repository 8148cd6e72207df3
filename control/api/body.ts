/** Reading request bodies: bounded, of a known media type, and of a shape that is safe to walk and merge. */
import type { Context } from 'hono';
import { parse } from 'yaml';
import { badRequest, tooLarge, unsupportedMediaType } from './status.ts';

/** Kubernetes' own limit on a request body, in bytes. */
export const maxBodyBytes = 3 * 1024 * 1024;
const maxDepth = 100;

/** The media type without parameters, in lower case; `fallback` when the header is absent. */
export function mediaType(c: Context, fallback = 'application/json'): string {
  return (c.req.header('content-type') ?? fallback).split(';')[0]?.trim().toLowerCase() ?? '';
}

/** The body as JSON value, from JSON or YAML. @throws ApiError 400, 413, 415 */
export async function readBody(c: Context): Promise<unknown> {
  const type = mediaType(c);
  if (type === 'application/json') return parseJson(await readText(c));
  if (type === 'application/yaml') return parseYaml(await readText(c));
  throw unsupportedMediaType(['application/json', 'application/yaml']);
}

/** As `readBody`, and the value must be an object. */
export async function readObject(c: Context): Promise<Record<string, unknown>> {
  return asObject(await readBody(c));
}

export function asObject(value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw badRequest('the body of the request must be one object');
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws ApiError 400 not UTF-8; 413 longer than `maxBodyBytes` */
export async function readText(c: Context): Promise<string> {
  if (Number(c.req.header('content-length') ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes);
  const chunks: Uint8Array[] = [];
  let size = 0;
  // The reader of the first chunk too many stops here: the rest is never held.
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBodyBytes) throw tooLarge(maxBodyBytes);
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw badRequest('the body of the request is not UTF-8');
  }
}

export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(`the body of the request is not JSON: ${(error as Error).message}`);
  }
  return checkShape(value, 0);
}

export function parseYaml(text: string): unknown {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100, logLevel: 'error' });
  } catch (error) {
    throw badRequest(`the body of the request is not one YAML document: ${(error as Error).message.split('\n')[0]}`);
  }
  return checkShape(value, 0);
}

/** Deep nesting would exhaust the stack of whatever walks it, and a `__proto__` key would poison a merge. */
function checkShape<T>(value: T, depth: number): T {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > maxDepth) throw badRequest(`the body of the request is nested deeper than ${maxDepth} levels`);
  if (Object.hasOwn(value, '__proto__')) throw badRequest('the body of the request has a field named __proto__');
  for (const item of Object.values(value)) checkShape(item, depth + 1);
  return value;
}
