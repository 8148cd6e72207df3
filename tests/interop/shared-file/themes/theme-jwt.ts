/** jwt_authn, as far as JWT-SVIDs need it: which tokens are accepted, and the answers to the others. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { filter, type Json, listener, manager, prefix, to } from '../../harness/bootstrap-parts.ts';
import type { Spec } from '../cases.ts';
import { on } from '../cases.ts';
import type { Theme } from './themes.ts';

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const strangers = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = { keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'ES256' }] };

const NOW = Math.floor(Date.now() / 1000);
const CLAIMS = { iss: 'https://issuer.test', aud: 'app', sub: 'spiffe://td.test/ns/a/sa/b', exp: NOW + 36_000 };
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
function token(claims: object = {}, header: object = {}, key: KeyObject = keys.privateKey): string {
  const text = `${part({ alg: 'ES256', kid: 'one', typ: 'JWT', ...header })}.${part({ ...CLAIMS, ...claims })}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
const good = token();

const tokens: Record<string, string> = {
  good,
  'aud-list': token({ aud: ['other', 'app'] }),
  'no-kid': token({}, { kid: undefined }),
  expired: token({ exp: NOW - 3600 }),
  early: token({ nbf: NOW + 3600 }),
  'wrong-issuer': token({ iss: 'https://other.test' }),
  'wrong-audience': token({ aud: 'other' }),
  'wrong-domain': token({ sub: 'spiffe://other.test/ns/a/sa/b' }),
  'wrong-key': token({}, {}, strangers.privateKey),
  'unknown-kid': token({}, { kid: 'two' }),
  'no-signature': `${good.slice(0, good.lastIndexOf('.'))}.`,
  'alg-none': `${part({ alg: 'none' })}.${part(CLAIMS)}.`,
  changed: good.replace(/\.[^.]+\./, `.${part({ ...CLAIMS, sub: 'spiffe://td.test/ns/a/sa/root' })}.`),
  garbage: 'garbage',
  dots: 'a.b.c',
};

const provider = (more: Json = {}): Json => ({
  issuer: CLAIMS.iss,
  audiences: ['app'],
  subjects: { prefix: 'spiffe://td.test/' },
  local_jwks: { inline_string: JSON.stringify(jwks) },
  ...more,
});
const rule = (path: string, requires?: Json) => ({ match: { prefix: path }, ...(requires && { requires }) });
const any = (...requirements: Json[]) => ({ requires_any: { requirements } });
const named = (provider_name: string) => ({ provider_name });
const config = {
  providers: {
    own: provider(),
    kept: provider({ forward: true }),
    header: provider({ from_headers: [{ name: 'x-token', value_prefix: 'Token ' }] }),
  },
  rules: [
    rule('/open'),
    rule('/kept', named('kept')),
    rule('/header', named('header')),
    rule('/may-fail', any(named('own'), { allow_missing_or_failed: {} })),
    rule('/may', any(named('own'), { allow_missing: {} })),
    rule('/need', named('own')),
  ],
};
const hosts = [{ name: 'all', domains: ['*'], routes: [{ ...prefix('/'), ...to('echo') }] }];

const bearer = (value: string) => ({ Authorization: `Bearer ${value}` });
const specs: Spec[] = ['need', 'kept', 'may', 'may-fail', 'open', 'other'].flatMap((path): Spec[] => [
  [`jwt-${path}-none`, `/${path}/x?y`],
  [`jwt-${path}-basic`, `/${path}`, { Authorization: 'Basic YTpi' }],
  [`jwt-${path}-empty`, `/${path}`, { Authorization: 'Bearer ' }],
  ...Object.entries(tokens).map(([name, value]): Spec => [`jwt-${path}-${name}`, `/${path}`, bearer(value)]),
]);

export const jwt: Theme = {
  listeners: [listener('jwt', manager([], [filter('jwt_authn.v3.JwtAuthentication', config)], {}, hosts))],
  cases: on('jwt', 'jwt.test', [
    ...specs,
    ['jwt-header', '/header', { 'X-Token': `Token ${good}` }],
    ['jwt-header-bare', '/header', { 'X-Token': good }],
    ['jwt-header-not', '/header', bearer(good)],
    ['jwt-header-bad', '/header', { 'X-Token': `Token ${tokens['expired']}` }],
    ['jwt-post', '/need', {}, { method: 'POST', body: 'unread' }],
    ['jwt-grpc', '/need', { 'Content-Type': 'application/grpc' }, { method: 'POST', body: '' }],
  ]),
};
