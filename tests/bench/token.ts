/** A user's token, and a jwt_authn filter that accepts it, as a sidecar has one for a RequestAuthentication. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { any } from '../interop/shared-file/bootstrap.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ISSUER = 'https://issuer.test';
const DAY = 86_400;

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const text = [
  part({ alg: 'RS256', kid: 'one', typ: 'JWT' }),
  part({
    iss: ISSUER,
    sub: 'alice',
    aud: ['shop'],
    exp: Math.floor(Date.now() / 1000) + DAY,
    scope: 'read write',
    groups: ['staff', 'admin'],
  }),
].join('.');
const token = `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;

export const BEARER = { authorization: `Bearer ${token}` };

/** With Envoy's cache of verified tokens: the signature is verified once. */
export const ACCEPTS_TOKENS = {
  name: 'envoy.filters.http.jwt_authn',
  typed_config: any('filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: {
      'origins-0': {
        issuer: ISSUER,
        audiences: ['shop'],
        local_jwks: {
          inline_string: JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one' }] }),
        },
        payload_in_metadata: 'payload',
        normalize_payload_in_metadata: { space_delimited_claims: ['permission', 'scope'] },
        claim_to_headers: [{ header_name: 'x-user', claim_name: 'sub' }],
        jwt_cache_config: {},
      },
    },
    rules: [
      {
        match: { prefix: '/' },
        requires: { requires_any: { requirements: [{ provider_name: 'origins-0' }, { allow_missing: {} }] } },
      },
    ],
    bypass_cors_preflight: true,
  }),
};
