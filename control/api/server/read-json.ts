/** JSON that a proxy or an anonymous client sends: bounded before it is parsed, by one look at its bytes. */
import type { Context } from 'hono';
import type { ApiEnv } from '../caller.ts';
import { badRequest, unsupportedMediaType } from '../resources/status.ts';
import { mediaType } from './body.ts';
import { type BodyLimits, readBytes } from './read-bytes.ts';

export interface JsonLimits extends BodyLimits {
  /** Levels of objects and arrays. */
  readonly depth: number;
  /** Values; an object or array inside another may count twice. */
  readonly values: number;
}

/** @throws ApiError 400 not JSON, or more than the limits; 408, 413, 503 as readBytes; 415 */
export async function readJson(c: Context<ApiEnv>, limits: JsonLimits): Promise<unknown> {
  if (mediaType(c) !== 'application/json') throw unsupportedMediaType(['application/json']);
  const bytes = await readBytes(c, limits);
  checkShape(bytes, limits);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw badRequest('the body of the request is not JSON in UTF-8');
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
/** `[` and `{`, `]` and `}`: they differ in one bit. */
const OPEN = 0x5b;
const CLOSE = 0x5d;
const BRACE = 0x20;

/**
 * What is counted in bytes that are not JSON does not matter: parsing refuses them afterwards.
 * @throws ApiError 400 naming the limit
 */
function checkShape(bytes: Uint8Array, limits: Pick<JsonLimits, 'depth' | 'values'>): void {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) values++;
    else if ((byte & ~BRACE) === OPEN) {
      depth++;
      values++;
      if (depth > limits.depth)
        throw badRequest(`the body of the request is nested deeper than ${limits.depth} levels`);
    } else if ((byte & ~BRACE) === CLOSE) depth--;
    if (values > limits.values) throw badRequest(`the body of the request has more than ${limits.values} values`);
  }
}

/** Where the string that begins at `at` ends. */
function endOfString(bytes: Uint8Array, at: number): number {
  for (let next = at + 1; next < bytes.length; next++) {
    if (bytes[next] === QUOTE) return next;
    if (bytes[next] === BACKSLASH) next++;
  }
  return bytes.length;
}
