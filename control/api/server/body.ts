/** Reading request bodies: bounded, of a known media type, and of a shape that is safe to walk and merge. */
import type { Context } from 'hono';
import { parseOne } from '../../../shared/resources/read/parse.ts';
import type { ApiEnv } from '../caller.ts';
import { PROTOBUF, ProtobufError, readProtobuf, UnreadKind } from '../resources/protobuf.ts';
import { ApiError, badRequest, unsupportedMediaType } from '../resources/status.ts';
import { readBytes } from './read-bytes.ts';

/** Kubernetes' own limit on a request body, in bytes. */
const maxBodyBytes = 3 * 1024 * 1024;
/** A file of that size over a slow line takes this long. */
const BODY = { bytes: maxBodyBytes, timeoutMs: 60_000 };
const maxDepth = 100;

/** The media type without parameters, in lower case; `fallback` when the header is absent. */
export function mediaType(c: Context, fallback = 'application/json'): string {
  return (c.req.header('content-type') ?? fallback).split(';')[0]?.trim().toLowerCase() ?? '';
}

export interface Body<Value = unknown> {
  value: Value;
  /** Paths of duplicate fields, as `spec.hosts`; the last value counts. */
  duplicates: string[];
}

/** The body as JSON value, from JSON or YAML. @throws ApiError 400, 413, 415 */
async function readBody(c: Context<ApiEnv>): Promise<Body> {
  const type = mediaType(c);
  // A body of another type is not read at all.
  if (!READ_TYPES.includes(type)) throw unsupportedMediaType(READ_TYPES);
  return parseBytes(type, await readBytes(c, BODY));
}

const READ_TYPES: readonly string[] = ['application/json', 'application/yaml', PROTOBUF];

function parseBytes(type: string, bytes: Uint8Array): Body {
  if (type === 'application/json') return parseBody(textOf(bytes), 'JSON');
  if (type === 'application/yaml') return parseBody(textOf(bytes), 'YAML');
  if (type === PROTOBUF) return { value: fromProtobuf(bytes), duplicates: [] };
  throw unsupportedMediaType(READ_TYPES);
}

/** As `readBody`, and the value must be an object. */
export async function readObject(c: Context<ApiEnv>): Promise<Body<Record<string, unknown>>> {
  const { value, duplicates } = await readBody(c);
  return { value: asObject(value), duplicates };
}

/** The body as an object of a media type that is read; absent or empty: `{}`. @throws ApiError 400, 413, 415 */
export async function readOptional(c: Context<ApiEnv>): Promise<Record<string, unknown>> {
  const bytes = await readBytes(c, BODY);
  if (bytes.length === 0) return {};
  return asObject(parseBytes(mediaType(c), bytes).value);
}

export function asObject(value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw badRequest('the body of the request must be one object');
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fromProtobuf(bytes: Uint8Array): unknown {
  try {
    return readProtobuf(bytes);
  } catch (error) {
    if (error instanceof UnreadKind) throw new ApiError(415, 'UnsupportedMediaType', `${PROTOBUF}: ${error.message}`);
    if (error instanceof ProtobufError) throw badRequest(`${PROTOBUF}: ${error.message}`);
    if (error instanceof TypeError) throw badRequest(`${PROTOBUF}: a text is not UTF-8`);
    throw error;
  }
}

/** @throws ApiError 400 not UTF-8; 408 too slow; 413 longer than `maxBodyBytes` */
export async function readText(c: Context<ApiEnv>): Promise<string> {
  return textOf(await readBytes(c, BODY));
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) throw badRequest('the body of the request is not UTF-8');
    throw error;
  }
}

/** @throws ApiError 400 */
export function parseJson(text: string): unknown {
  return parseBody(text, 'JSON').value;
}

/** One value of the format. @throws ApiError 400 naming the line */
export function parseBody(text: string, format: 'JSON' | 'YAML'): Body {
  const { value, errors } = parseOne(text, format);
  const syntax = errors.find((error) => error.rule !== 'duplicate-field');
  if (syntax) {
    const place = `line ${syntax.line}, column ${syntax.column}`;
    const article = format === 'JSON' ? 'not JSON' : 'not one YAML document';
    throw badRequest(`the body of the request is ${article}: ${place}: ${syntax.message}`);
  }
  return { value: checkShape(value, 0), duplicates: errors.map((error) => error.path) };
}

/** Deep nesting would exhaust the stack of recursive code, and a `__proto__` key would poison a merge. */
function checkShape<T>(value: T, depth: number): T {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > maxDepth) throw badRequest(`the body of the request is nested deeper than ${maxDepth} levels`);
  if (Object.hasOwn(value, '__proto__')) throw badRequest('the body of the request has a field named __proto__');
  for (const item of Object.values(value)) checkShape(item, depth + 1);
  return value;
}
