/** Claims of tokens (RFC 7519 section 4.1): those that every token is judged by, and those that a policy names. */
import { LEEWAY_MS, Refusal } from './proof.ts';

export type Claims = Readonly<Record<string, unknown>>;

export interface TokenTimes {
  /** Milliseconds since the epoch. */
  readonly issued: number;
  readonly expires: number;
}

/** @throws Refusal unproved where the token is not valid now, or does not say when it is */
export function tokenTimes(claims: Claims, now: number): TokenTimes {
  const expires = seconds(claims, 'exp');
  const issued = seconds(claims, 'iat');
  const notBefore = claims['nbf'] === undefined ? issued : seconds(claims, 'nbf');
  if (now >= expires + LEEWAY_MS)
    throw new Refusal('unproved', `token: has expired at ${instant(expires)}, the clock here is at ${instant(now)}`);
  if (Math.max(issued, notBefore) > now + LEEWAY_MS)
    throw new Refusal(
      'unproved',
      `token: is valid from ${instant(Math.max(issued, notBefore))}, the clock here is at ${instant(now)}`,
    );
  return { issued, expires };
}

function seconds(claims: Claims, name: string): number {
  const value = claims[name];
  if (typeof value !== 'number' || !(value >= 0 && value < 1e11))
    throw new Refusal('unproved', `token: has no claim ${name} that is a time`);
  return value * 1000;
}

const instant = (ms: number) => new Date(ms).toISOString();

/** @throws Refusal unproved where `aud` is neither text nor a list of texts */
export function audiencesOf({ aud }: Claims): readonly string[] {
  const list: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!list.every((one) => typeof one === 'string'))
    throw new Refusal('unproved', 'token: its aud is neither text nor a list of texts');
  return list;
}

/** The value of a nested claim; undefined: it is not there. */
export function claimAt(claims: Claims, path: readonly string[]): unknown {
  let here: unknown = claims;
  for (const step of path) {
    if (typeof here !== 'object' || here === null || Array.isArray(here) || !Object.hasOwn(here, step))
      return undefined;
    here = (here as Claims)[step];
  }
  return here;
}

/** What a claim is compared by: its text, or those of its list. An object has none. */
export function textsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.filter((one) => !Array.isArray(one)).flatMap(textsOf);
  if (typeof value === 'string') return [value];
  return typeof value === 'number' || typeof value === 'boolean' ? [String(value)] : [];
}

/** @throws Refusal unproved where the claim is there and no text */
export function textClaim(claims: Claims, name: string): string {
  const value = claims[name] ?? '';
  if (typeof value !== 'string') throw new Refusal('unproved', `token: its ${name} is no text`);
  return value;
}
