/** Where the next page of a list begins: opaque to clients, and checked when it comes back. */
import { badRequest } from '../status.ts';

export interface ContinueToken {
  /** The revision that the pages show together; -1: the newest, which a client accepts after a 410. */
  revision: number;
  /** How many resources there were then. */
  count: number;
  /** Namespace and name of the last resource before the page. */
  after: readonly [string, string];
}

export function writeToken({ revision, count, after }: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: 'tulle/1', rv: revision, n: count, after })).toString('base64url');
}

/** @throws ApiError 400 */
export function readToken(text: string): ContinueToken {
  const { v, rv, n, after } = parsed(text);
  if (v !== 'tulle/1') throw refuse('server does not recognize this encoded version');
  if (!isCount(n) || !(rv === -1 || (isCount(rv) && rv > 0))) throw refuse('incorrect encoded start resourceVersion');
  if (!Array.isArray(after) || after.length !== 2 || !after.every((part) => typeof part === 'string'))
    throw refuse('incorrect encoded start key');
  return { revision: rv, count: n, after: [after[0] as string, after[1] as string] };
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Refused below.
  }
  throw refuse('not a token of this server');
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const refuse = (why: string) => badRequest(`continue key is not valid: ${why}`);
