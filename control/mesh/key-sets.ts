/** The keys of token issuers, as the control plane has fetched them (control/jwks). */
import type { JwtRule } from '../../shared/resources/schema/request-authentication.ts';

/** A JSON Web Key Set as JSON text with at least one usable key. The same object as long as the text is the same. */
export interface KeySetText {
  readonly text: string;
}

/** By `fetchedKeysOf`. A source that is not there has no keys yet. Another map whenever a key set is another one. */
export type KeySets = ReadonlyMap<string, KeySetText>;

export const NO_KEY_SETS: KeySets = new Map();

/** Where keys are fetched: at a URL, or at the one that the OpenID discovery document of an issuer names. */
export type KeySource = { readonly uri: string } | { readonly issuer: string };

/** Undefined: the rule holds its keys itself, or says nowhere where they are. */
export function keySourceOf({
  jwks,
  jwksUri,
  jwks_uri: older,
  issuer,
}: Partial<Pick<JwtRule, 'jwks' | 'jwksUri' | 'jwks_uri' | 'issuer'>>): KeySource | undefined {
  if (jwks) return undefined;
  const uri = jwksUri || older;
  if (uri) return { uri };
  return issuer ? { issuer } : undefined;
}

export function sourceId(source: KeySource): string {
  return 'uri' in source ? `uri ${source.uri}` : `issuer ${source.issuer}`;
}
