/** One fetch of the keys of a source: a key set at a URL, or OpenID Connect Discovery first. */
import { parseKeySet } from '../../shared/jwt/key-set.ts';
import { parseJsonObject } from '../../shared/jwt/strict-json.ts';
import type { KeySource } from '../mesh/key-sets.ts';
import { FetchError, type KeyFetcher } from './key-fetcher.ts';

/** A source of keys that RequestAuthentications name. */
export interface WantedSource {
  readonly source: KeySource;
  /** Of one document; milliseconds. */
  readonly timeoutMs: number;
  /** Of the RequestAuthentications. */
  readonly namespaces: readonly string[];
}

/**
 * @returns the text of a key set with at least one usable key
 * @throws FetchError
 */
export async function fetchKeys(fetcher: KeyFetcher, { source, timeoutMs, namespaces }: WantedSource): Promise<string> {
  const uri =
    'uri' in source ? source.uri : await discoverUri(source.issuer, (url) => fetcher.fetch(url, timeoutMs, namespaces));
  const text = await fetcher.fetch(uri, timeoutMs, namespaces);
  if (parseKeySet(text).length === 0)
    throw new FetchError(`what ${hostOf(uri)} answers is no JSON Web Key Set with a key that can be used`);
  return text;
}

/** https://openid.net/specs/openid-connect-discovery-1_0.html sections 4.1 and 4.3 */
async function discoverUri(issuer: string, fetch: (url: string) => Promise<string>): Promise<string> {
  if (!/^https?:\/\//.test(issuer))
    throw new FetchError('the issuer is no URL, at which its keys could be found: set jwksUri or jwks');
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = parseJsonObject(await fetch(url));
  if (!document) throw new FetchError(`what ${hostOf(url)} answers is no OpenID discovery document`);
  const { issuer: named, jwks_uri: uri } = document;
  if (named !== issuer) throw new FetchError('the discovery document is of another issuer');
  if (typeof uri !== 'string' || !/^https?:\/\//.test(uri))
    throw new FetchError('the discovery document has no jwks_uri');
  if (issuer.startsWith('https:') && !uri.startsWith('https:'))
    throw new FetchError('the discovery document of an https issuer has a jwks_uri of http');
  return uri;
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the issuer';
}
