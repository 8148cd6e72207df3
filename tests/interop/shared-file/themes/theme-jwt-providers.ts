/** jwt_authn as Istio and hand-written files use it: keys, locations, requirements, what claims become. */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { any, filter, type Json, listener, manager, prefix, say, to } from '../../harness/bootstrap-parts.ts';
import { on, raw, type Spec } from '../cases.ts';
import type { Theme } from './themes.ts';

const NOW = Math.floor(Date.now() / 1000);
const ISSUER = 'https://issuer.test';
const OTHER = 'https://other.test';

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const p256 = ec('P-256');
const p384 = ec('P-384');
const p521 = ec('P-521');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed = generateKeyPairSync('ed25519');
const second = ec('P-256');
const secret = randomBytes(32);

const jwk = (key: KeyObject, more: object = {}) => ({ ...key.export({ format: 'jwk' }), ...more });
const oct = { kty: 'oct', k: secret.toString('base64url') };
const keys = (...list: object[]) => ({ inline_string: JSON.stringify({ keys: list }) });

type Signer = (data: Buffer) => Buffer;
const ecdsa =
  (hash: string, key: KeyObject): Signer =>
  (data) =>
    sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
const pss =
  (hash: string, saltLength: number): Signer =>
  (data) =>
    sign(hash, data, { key: rsa.privateKey, padding: 6, saltLength });
const SIGNERS: Record<string, Signer> = {
  ES256: ecdsa('sha256', p256.privateKey),
  ES384: ecdsa('sha384', p384.privateKey),
  ES512: ecdsa('sha512', p521.privateKey),
  RS256: (data) => sign('sha256', data, rsa.privateKey),
  RS384: (data) => sign('sha384', data, rsa.privateKey),
  RS512: (data) => sign('sha512', data, rsa.privateKey),
  PS256: pss('sha256', 32),
  PS384: pss('sha384', 48),
  PS512: pss('sha512', 64),
  HS256: (data) => createHmac('sha256', secret).update(data).digest(),
  HS384: (data) => createHmac('sha384', secret).update(data).digest(),
  HS512: (data) => createHmac('sha512', secret).update(data).digest(),
  EdDSA: (data) => sign(null, data, ed.privateKey),
  second: ecdsa('sha256', second.privateKey),
};

const part = (value: object | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const CLAIMS = { iss: ISSUER, sub: 'alice', aud: 'app', exp: NOW + 36_000 };
/** @param claims of the payload, or its text */
function token(claims: object | string = {}, header: object | string = {}, signer = 'ES256'): string {
  const payload = typeof claims === 'string' ? claims : { ...CLAIMS, ...claims };
  const alg = signer === 'second' ? 'ES256' : signer;
  const text = `${part(typeof header === 'string' ? header : { alg, ...header })}.${part(payload)}`;
  return `${text}.${SIGNERS[signer]!(Buffer.from(text)).toString('base64url')}`;
}
const good = token();
const byOther = (claims: object = {}) => token({ iss: OTHER, ...claims }, {}, 'second');

const base = (more: Json = {}): Json => ({ issuer: ISSUER, local_jwks: keys(jwk(p256.publicKey)), ...more });
const providers: Record<string, Json> = {
  base: base(),
  other: { issuer: OTHER, local_jwks: keys(jwk(second.publicKey)) },
  otherheader: { issuer: OTHER, local_jwks: keys(jwk(second.publicKey)), from_headers: [{ name: 'x-other' }] },
  everykey: base({
    local_jwks: keys(...[p256, p384, p521, rsa].map(({ publicKey }) => jwk(publicKey)), oct),
  }),
  edwards: base({ local_jwks: keys(jwk(ed.publicKey)) }),
  pinned: base({
    local_jwks: keys(
      jwk(rsa.publicKey, { alg: 'RS256', kid: 'rsa' }),
      jwk(p256.publicKey, { alg: 'ES256', kid: 'ec', use: 'sig' }),
    ),
  }),
  halfbad: base({ local_jwks: keys({ kty: 'RSA', n: 'AQAB' }, { kty: 'what' }, 'text' as never, jwk(p256.publicKey)) }),
  bytes: base({
    local_jwks: { inline_bytes: Buffer.from(keys(jwk(p256.publicKey)).inline_string).toString('base64') },
  }),
  anyissuer: base({ issuer: '' }),
  audience: base({ audiences: ['app', 'https://app.test/'] }),
  headers: base({
    from_headers: [{ name: 'X-Jwt' }, { name: 'X-Tok', value_prefix: 'Tok ' }, { name: 'x-jwt', value_prefix: 'A:' }],
  }),
  params: base({ from_params: ['t', 'u'] }),
  cookies: base({ from_cookies: ['session', 'id'] }),
  everywhere: base({ from_headers: [{ name: 'x-jwt' }], from_params: ['t'], from_cookies: ['session'] }),
  keeps: base({ forward: true }),
  payload: base({ forward_payload_header: 'X-Payload' }),
  padded: base({ forward_payload_header: 'x-payload', pad_forward_payload_header: true }),
  claims: base({
    claim_to_headers: [
      'text',
      'number',
      'negative',
      'half',
      'large',
      'yes',
      'no',
      'nothing',
      'list',
      'object',
      'object.inner',
      'missing',
      'empty',
      'unicode',
    ].map((claim_name) => ({ header_name: `X-C-${claim_name.replace('.', '-')}`, claim_name })),
  }),
  skew: base({ clock_skew_seconds: 50_000 }),
  expires: base({ require_expiration: true }),
  lifetime: base({ max_lifetime: '3600s' }),
  subject: base({ subjects: { prefix: 'ali' }, audiences: ['app'] }),
  cached: base({ jwt_cache_config: { jwt_cache_size: 2 } }),
  routed: base({
    payload_in_metadata: 'payload',
    normalize_payload_in_metadata: { space_delimited_claims: ['scope', 'other'] },
    clear_route_cache: true,
  }),
  unrouted: base({ payload_in_metadata: 'payload' }),
  noted: base({ header_in_metadata: 'head', payload_in_metadata: 'body', failed_status_in_metadata: 'failed' }),
};

const named = (provider_name: string) => ({ provider_name });
const anyOf = (...requirements: Json[]) => ({ requires_any: { requirements } });
const allOf = (...requirements: Json[]) => ({ requires_all: { requirements } });
const MISSING = { allow_missing: {} };
const FAILED = { allow_missing_or_failed: {} };
const audiences = (provider_name: string, ...list: string[]) => ({
  provider_and_audiences: { provider_name, audiences: list },
});
/** By the first segment of the path; that of a provider's name requires that provider. */
const requirements: Record<string, Json> = {
  ...Object.fromEntries(Object.keys(providers).map((name) => [name, named(name)])),
  either: anyOf(named('base'), named('other')),
  eithermay: anyOf(named('base'), named('other'), MISSING),
  eitherfail: anyOf(named('base'), named('other'), FAILED),
  both: allOf(named('base'), named('otherheader')),
  istioone: anyOf(named('claims'), MISSING),
  istiotwo: anyOf(
    named('base'),
    named('otherheader'),
    allOf(anyOf(named('base'), MISSING), anyOf(named('otherheader'), MISSING)),
  ),
  nested: anyOf(allOf(named('base'), named('otherheader')), named('params')),
  restricted: audiences('audience', 'special'),
  restrictedurl: audiences('base', 'http://special/'),
  notedfail: anyOf(named('noted'), FAILED),
  routedmay: anyOf(named('routed'), MISSING),
};
/** These ask the provider of a token's issuer, so that no two providers may have the same. */
const open: Record<string, Json> = {
  may: MISSING,
  mayfail: FAILED,
  anymay: anyOf(MISSING, MISSING),
  anyfail: anyOf(MISSING, FAILED),
};
const byPath = (all: Record<string, Json>) =>
  Object.entries(all).map(([name, requires]) => ({ match: { path_separated_prefix: `/${name}` }, requires }));
const rules = [
  { match: { path: '/exact' }, requires: named('base') },
  { match: { safe_regex: { regex: '/re/[0-9]+' } }, requires: named('base') },
  { match: { prefix: '/CASE', case_sensitive: false }, requires: named('base') },
  {
    match: { prefix: '/header', headers: [{ name: 'x-need', string_match: { exact: 'jwt' } }] },
    requires: named('base'),
  },
  {
    match: { prefix: '/query', query_parameters: [{ name: 'need', string_match: { exact: 'jwt' } }] },
    requires: named('base'),
  },
  { match: { path_separated_prefix: '/separated' }, requires: named('base') },
  {
    match: {
      path_match_policy: {
        name: 'template',
        typed_config: any('path.match.uri_template.v3.UriTemplateMatchConfig', {
          path_template: '/template/{id}/x',
        }),
      },
    },
    requires: named('base'),
  },
  { match: { prefix: '/byname' }, requirement_name: 'two' },
  ...byPath(requirements),
];
const config = {
  providers,
  rules,
  requirement_map: { one: named('base'), two: anyOf(named('base'), MISSING) },
  bypass_cors_preflight: true,
};

const onRoute = (name: string, more: object) => ({
  typed_per_filter_config: { 'envoy.filters.http.jwt_authn': any('filters.http.jwt_authn.v3.PerRouteConfig', more) },
  name,
});
const claim = (path: string[], value: object, more: object = {}) => ({
  filter: 'envoy.filters.http.jwt_authn',
  path: ['payload', ...path].map((key) => ({ key })),
  value,
  ...more,
});
const exact = (text: string) => ({ string_match: { exact: text } });
const inList = (text: string) => ({ list_match: { one_of: exact(text) } });
const either = (text: string) => ({ or_match: { value_matchers: [inList(text), exact(text)] } });
const routedBy = (path: string) =>
  (
    [
      ['group', claim(['groups'], either('admin'))],
      ['nested', claim(['a', 'b'], either('c'))],
      ['scope', claim(['scope'], either('write'))],
      ['regex', claim(['sub'], { string_match: { safe_regex: { regex: 'b.*' } } })],
      ['present', claim(['flag'], { present_match: true })],
      ['bool', claim(['on'], { bool_match: true })],
      ['inverted', claim(['role'], either('user'), { invert: true })],
    ] as const
  ).map(([text, matcher]) => ({ match: { prefix: path, dynamic_metadata: [matcher] }, ...say(text) }));

const meta = (...keys: string[]) => `%DYNAMIC_METADATA(${['envoy.filters.http.jwt_authn', ...keys].join(':')})%`;
const seen = (key: string, value: string) => ({
  header: { key, value },
  append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
});
const hosts = [
  {
    name: 'all',
    domains: ['*'],
    routes: [
      { ...prefix('/off'), ...to('echo'), ...onRoute('off', { disabled: true }) },
      { ...prefix('/one'), ...to('echo'), ...onRoute('one', { requirement_name: 'one' }) },
      { ...prefix('/gone'), ...to('echo'), ...onRoute('gone', { requirement_name: 'three' }) },
      ...routedBy('/routed'),
      ...routedBy('/unrouted'),
      {
        ...prefix('/noted'),
        ...to('echo'),
        request_headers_to_add: [
          seen('x-alg', meta('head', 'alg')),
          seen('x-sub', meta('body', 'sub')),
          seen('x-code', meta('failed', 'code')),
          seen('x-message', meta('failed', 'message')),
        ],
      },
      { ...prefix('/'), ...to('echo') },
    ],
  },
];

const bearer = (value: string) => ({ Authorization: `Bearer ${value}` });
const on_ = (path: string, name: string, value: string, more: Record<string, string> = {}): Spec => [
  `jwtp-${path}-${name}`,
  `/${path}`,
  { ...bearer(value), ...more },
];
const each = (path: string, tokens: Record<string, string>): Spec[] =>
  Object.entries(tokens).map(([name, value]) => on_(path, name, value));

const [head, body, signature] = good.split('.') as [string, string, string];
const time = (more: object) => token({ exp: undefined, ...more });

const tokens: Spec[] = [
  ...each(
    'everykey',
    Object.fromEntries(Object.keys(SIGNERS).map((name) => [name.toLowerCase(), token({}, {}, name)])),
  ),
  ...each('everykey', {
    'pss-salt': (() => {
      const text = `${part({ alg: 'PS256' })}.${part(CLAIMS)}`;
      return `${text}.${pss('sha256', 20)(Buffer.from(text)).toString('base64url')}`;
    })(),
    'es-as-rs': token({}, { alg: 'RS256' }),
    'rs-as-hs': token({}, { alg: 'HS256' }, 'RS256'),
  }),
  ...each('edwards', {
    good: token({}, {}, 'EdDSA'),
    short: `${part({ alg: 'EdDSA' })}.${part(CLAIMS)}.${part('short')}`,
    'other-key': `${part({ alg: 'EdDSA' })}.${part(CLAIMS)}.${part('x'.repeat(64))}`,
  }),
  ...each('pinned', {
    ec: token({}, { kid: 'ec' }),
    'ec-no-kid': token(),
    rsa: token({}, { kid: 'rsa' }, 'RS256'),
    'rsa-ps': token({}, { kid: 'rsa' }, 'PS256'),
    'rsa-384': token({}, { kid: 'rsa' }, 'RS384'),
    'other-kid': token({}, { kid: 'none' }),
    'kid-of-other': token({}, { kid: 'rsa' }),
    'key-as-secret': (() => {
      const text = `${part({ alg: 'HS256', kid: 'rsa' })}.${part(CLAIMS)}`;
      const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
      return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
    })(),
  }),
  ...['halfbad', 'bytes', 'anyissuer', 'base', 'keeps', 'cached'].map((path) => on_(path, 'good', good)),
  on_('anyissuer', 'other', token({ iss: 'https://unknown.test' })),
  on_('anyissuer', 'none', token({ iss: undefined })),
  ...each('base', {
    'no-iss': token({ iss: undefined }),
    'two-parts': `${head}.${body}`,
    'four-parts': `${good}.x`,
    'empty-part': `${head}..${signature}`,
    'extra-dot': `${head}..${body}.${signature}`,
    'header-base64': `${head.slice(1)}*.${body}.${signature}`,
    'header-json': `${part('nope')}.${body}.${signature}`,
    'header-list': `${part('[]')}.${body}.${signature}`,
    'alg-missing': token({}, '{"typ":"JWT"}'),
    'alg-number': token({}, { alg: 5 }),
    'alg-unknown': token({}, { alg: 'ES256K' }),
    'alg-case': token({}, { alg: 'es256' }),
    'alg-none': token({}, { alg: 'none' }),
    'kid-number': token({}, { kid: 7 }),
    crit: token({}, { crit: ['exp'] }),
    b64: token({}, { crit: ['b64'], b64: false }),
    typ: token({}, { typ: 'at+jwt' }),
    'payload-base64': `${head}.!!!.${signature}`,
    'payload-json': token('{'),
    'payload-text': token('"text"'),
    'payload-trailing': token('{"iss":"https://issuer.test"} x'),
    'payload-twice': token(`{"iss":"${OTHER}","iss":"${ISSUER}","sub":"alice"}`),
    'payload-deep': token(`{"iss":"${ISSUER}","a":${'['.repeat(120)}${']'.repeat(120)}}`),
    'payload-nested': token(`{"iss":"${ISSUER}","a":${'['.repeat(20)}${']'.repeat(20)}}`),
    'payload-huge-number': token(`{"iss":"${ISSUER}","a":1e999}`),
    'iss-number': token({ iss: 5 }),
    'sub-number': token({ sub: 5 }),
    'jti-number': token({ jti: 5 }),
    'iat-text': token({ iat: 'x' }),
    'iat-negative': token({ iat: -1 }),
    'nbf-text': token({ nbf: 'x' }),
    'nbf-negative': token({ nbf: -1 }),
    'exp-text': token({ exp: 'x' }),
    'exp-negative': token({ exp: -1 }),
    'exp-large': token({ exp: 1e30 }),
    'exp-zero': token({ exp: 0 }),
    'exp-half': token({ exp: NOW + 36_000.5 }),
    'exp-none': time({}),
    'exp-long-ago': token({ exp: NOW - 100_000 }),
    'nbf-later': token({ nbf: NOW + 36_000 }),
    'aud-number': token({ aud: 5 }),
    'aud-mixed': token({ aud: ['app', 5] }),
    'aud-object': token({ aud: {} }),
    'signature-base64': `${head}.${body}.***`,
    'signature-padded': `${good}=`,
    'signature-other': `${head}.${body}.${part('x'.repeat(64))}`,
    'signature-short': `${head}.${body}.${part('x')}`,
    'second-key': token({}, {}, 'second'),
  }),
  ...each('skew', {
    within: token({ exp: NOW - 5000 }),
    after: token({ exp: NOW - 60_000 }),
    early: token({ nbf: NOW + 5000 }),
    before: token({ nbf: NOW + 60_000 }),
  }),
  ...each('expires', { with: good, without: time({}) }),
  ...each('lifetime', { short: token({ exp: NOW + 1800 }), long: good, without: time({}) }),
  ...each('subject', {
    good,
    other: token({ sub: 'bob' }),
    none: token({ sub: undefined }),
    'other-audience': token({ sub: 'bob', aud: 'x' }),
    'only-audience': token({ aud: 'x' }),
  }),
  ...each('audience', {
    good,
    list: token({ aud: ['x', 'app'] }),
    other: token({ aud: 'x' }),
    none: token({ aud: undefined }),
    empty: token({ aud: [] }),
    scheme: token({ aud: 'http://app' }),
    slash: token({ aud: 'app/' }),
    url: token({ aud: 'app.test' }),
    case: token({ aud: 'App' }),
  }),
  ...each('restricted', { special: token({ aud: 'special' }), app: good }),
  ...each('restrictedurl', { special: token({ aud: 'special' }), app: good }),
];

const locations: Spec[] = [
  ['jwtp-base-lower', '/base', { Authorization: `bearer ${good}` }],
  ['jwtp-base-spaces', '/base', { Authorization: `Bearer    ${good}` }],
  ['jwtp-base-inside', '/base', { Authorization: `Basic x, Bearer ${good}` }],
  ['jwtp-base-symbols', '/base', { Authorization: `Bearer "${good}` }],
  ['jwtp-base-param', `/base?access_token=${good}`],
  ['jwtp-base-param-others', `/base?a=1&access_token=${good}&b=2`],
  ['jwtp-base-param-escaped', `/base?access%5Ftoken=${good}`],
  ['jwtp-base-param-empty', '/base?access_token='],
  ['jwtp-base-param-bare', '/base?access_token'],
  ['jwtp-base-both', `/base?access_token=${good}`, bearer(good)],
  ['jwtp-base-both-bad-param', '/base?access_token=bad', bearer(good)],
  ['jwtp-base-both-bad-header', `/base?access_token=${good}`, bearer('bad')],
  ['jwtp-keeps-param', `/keeps?a=1&access_token=${good}`],
  ['jwtp-keeps-claimless', '/keeps', bearer(good)],
  ['jwtp-headers-first', '/headers', { 'X-Jwt': good }],
  ['jwtp-headers-prefix', '/headers', { 'X-Tok': `Tok ${good}` }],
  ['jwtp-headers-no-prefix', '/headers', { 'X-Tok': good }],
  ['jwtp-headers-two', '/headers', { 'X-Jwt': good, 'X-Tok': `Tok ${token({ sub: 'bob' })}` }],
  ['jwtp-headers-two-bad', '/headers', { 'X-Jwt': 'bad', 'X-Tok': `Tok ${good}` }],
  ['jwtp-headers-not-default', '/headers', bearer(good)],
  ['jwtp-params-first', `/params?t=${good}`],
  ['jwtp-params-second', `/params?u=${good}&x`],
  ['jwtp-params-both', `/params?u=${good}&t=${token({ sub: 'bob' })}`],
  ['jwtp-params-both-bad', `/params?u=${good}&t=bad`],
  ['jwtp-params-twice', `/params?t=${good}&t=bad`],
  ['jwtp-params-header', '/params', bearer(good)],
  ['jwtp-params-fragment', `/params?t=${good}&x=1#f`],
  ['jwtp-cookies-first', '/cookies', { Cookie: `a=b; session=${good}; c=d` }],
  ['jwtp-cookies-quoted', '/cookies', { Cookie: `session="${good}"` }],
  ['jwtp-cookies-second', '/cookies', { Cookie: `id=${good}` }],
  ['jwtp-cookies-bad', '/cookies', { Cookie: `session=bad; id=${good}` }],
  ['jwtp-cookies-other', '/cookies', { Cookie: `sessions=${good}` }],
  ['jwtp-everywhere-all', `/everywhere?t=${good}`, { 'X-Jwt': good, Cookie: `session=${good}` }],
  ['jwtp-everywhere-bad-cookie', `/everywhere?t=${good}`, { 'X-Jwt': good, Cookie: 'session=bad' }],
  ['jwtp-everywhere-bad-header', `/everywhere?t=${good}`, { 'X-Jwt': 'bad', Cookie: `session=${good}` }],
];

const claims = token({
  text: 'some text',
  number: 42,
  negative: -3,
  half: 1.5,
  large: 1e18,
  yes: true,
  no: false,
  nothing: null,
  list: ['a', 1],
  object: { inner: 'deep' },
  empty: '',
  unicode: 'é',
});
const outputs: Spec[] = [
  on_('payload', 'good', good),
  on_('payload', 'forged', good, { 'X-Payload': 'forged' }),
  on_('padded', 'good', token({ pad: 'x' })),
  on_('padded', 'more', token({ pad: 'xx' })),
  on_('claims', 'all', claims),
  on_('claims', 'forged', good, { 'X-C-text': 'forged', 'x-c-missing': 'forged' }),
  on_('istioone', 'all', claims, { 'X-C-text': 'forged' }),
  ['jwtp-istioone-forged', '/istioone', { 'X-C-text': 'forged' }],
  ['jwtp-off-forged', '/off', { 'X-C-text': 'forged', 'X-Unrelated': 'kept' }],
  ['jwtp-unruled-forged', '/unruled', { 'X-Payload': 'forged' }],
];

const single = (paths: readonly string[]): Spec[] =>
  paths.flatMap((path): Spec[] => [
    [`jwtp-${path}-none`, `/${path}`],
    ...each(path, {
      first: good,
      second: byOther(),
      bad: 'bad',
      unknown: token({ iss: 'https://unknown.test' }),
      expired: token({ exp: NOW - 5000 }),
      'second-expired': byOther({ exp: NOW - 5000 }),
      'wrong-key': token({}, {}, 'second'),
    }),
  ]);
const trees: Spec[] = [
  ...single(['either', 'eithermay', 'eitherfail']),
  ...['both', 'istiotwo', 'nested'].flatMap((path): Spec[] => [
    [`jwtp-${path}-none`, `/${path}`],
    [`jwtp-${path}-first`, `/${path}`, bearer(good)],
    [`jwtp-${path}-second`, `/${path}`, { 'X-Other': byOther() }],
    [`jwtp-${path}-both`, `/${path}`, { ...bearer(good), 'X-Other': byOther() }],
    [`jwtp-${path}-bad-first`, `/${path}`, { ...bearer('bad'), 'X-Other': byOther() }],
    [`jwtp-${path}-bad-second`, `/${path}`, { ...bearer(good), 'X-Other': 'bad' }],
    [`jwtp-${path}-bad`, `/${path}`, bearer('bad')],
    [`jwtp-${path}-swapped`, `/${path}`, { ...bearer(byOther()), 'X-Other': good }],
    [`jwtp-${path}-param`, `/${path}?t=${good}`],
  ]),
];

const tokenAndBad = (path: string): Spec[] => [
  [`jwtp-${path}-bad-param`, `/${path}?access_token=bad`, bearer(good)],
  [`jwtp-${path}-bad-header`, `/${path}?access_token=${good}`, bearer('bad')],
];

const matches: Spec[] = [
  ['jwtp-exact', '/exact'],
  ['jwtp-exact-query', '/exact?x'],
  ['jwtp-exact-more', '/exact/more'],
  ['jwtp-regex', '/re/12'],
  ['jwtp-regex-not', '/re/x'],
  ['jwtp-case', '/case/x'],
  ['jwtp-header', '/header', { 'X-Need': 'jwt' }],
  ['jwtp-header-not', '/header'],
  ['jwtp-query', '/query?need=jwt'],
  ['jwtp-query-not', '/query?need=no'],
  ['jwtp-separated', '/separated/x'],
  ['jwtp-separated-not', '/separatedx'],
  ['jwtp-template', '/template/1/x'],
  ['jwtp-template-not', '/template/1/y'],
  ['jwtp-byname', '/byname'],
  ['jwtp-byname-bad', '/byname', bearer('bad')],
  ['jwtp-no-rule', '/unruled', bearer('bad')],
  ['jwtp-off', '/off', bearer('bad')],
  ['jwtp-one', '/one'],
  ['jwtp-one-good', '/one', bearer(good)],
  ['jwtp-gone', '/gone', bearer(good)],
  [
    'jwtp-preflight',
    '/base',
    { Origin: 'https://a.test', 'Access-Control-Request-Method': 'GET' },
    { method: 'OPTIONS' },
  ],
  ['jwtp-options', '/base', { Origin: 'https://a.test' }, { method: 'OPTIONS' }],
  ['jwtp-head', '/base', {}, { method: 'HEAD' }],
  ['jwtp-post', '/base', bearer(good), { method: 'POST', body: 'body' }],
];

const routed: Spec[] = ['routed', 'unrouted', 'routedmay'].flatMap((path): Spec[] => [
  ...each(path, {
    group: token({ groups: ['user', 'admin'] }),
    'group-text': token({ groups: 'admin' }),
    'group-other': token({ groups: ['admins'], role: 'user' }),
    nested: token({ a: { b: 'c' } }),
    scope: token({ scope: 'read write' }),
    'scope-one': token({ scope: 'write' }),
    'scope-list': token({ scope: ['write'] }),
    regex: token({ sub: 'bob' }),
    present: token({ flag: null }),
    bool: token({ on: true }),
    inverted: token({ role: 'none' }),
    none: token({ role: 'user' }),
  }),
]);
const noted: Spec[] = ['noted', 'notedfail'].flatMap((path): Spec[] => [
  [`jwtp-${path}-none`, `/${path}`],
  ...each(path, { good, bad: 'bad', expired: token({ exp: NOW - 5000 }), unknown: token({ iss: 'x' }) }),
]);
const again: Spec[] = [1, 2, 3].flatMap((round) =>
  ['a', 'b', 'c', 'd'].map((sub) => on_('cached', `${sub}-${round}`, token({ sub: `${sub}${round}` }))),
);

const opened = { providers: { base: base(), other: providers['other']! }, rules: byPath(open) };
const stripped = {
  ...config,
  strip_failure_response: true,
  rules: [{ match: { prefix: '/' }, requires: named('base') }],
};

export const jwtProviders: Theme = {
  listeners: [
    listener('jwt-providers', manager([], [filter('jwt_authn.v3.JwtAuthentication', config)], {}, hosts)),
    listener('jwt-open', manager([], [filter('jwt_authn.v3.JwtAuthentication', opened)], {}, hosts)),
    listener('jwt-stripped', manager([], [filter('jwt_authn.v3.JwtAuthentication', stripped)], {}, hosts)),
  ],
  cases: [
    ...on('jwt-providers', 'jwtp.test', [
      ...tokens,
      ...locations,
      ...outputs,
      ...trees,
      ...tokenAndBad('istioone'),
      ...matches,
      ...routed,
      ...noted,
      ...again,
    ]),
    ...on('jwt-open', 'jwtp.test', [
      ...single(Object.keys(open)),
      ...['may', 'anymay', 'mayfail'].flatMap(tokenAndBad),
    ]),
    ...on('jwt-stripped', 'jwtp.test', [
      ['jwtp-stripped-none', '/x'],
      ['jwtp-stripped-bad', '/x', bearer('bad')],
      ['jwtp-stripped-good', '/x', bearer(good)],
    ]),
    raw(
      'jwtp-two-fields',
      'jwt-providers',
      `GET /headers HTTP/1.1\nHost: jwtp.test\nX-Case: jwtp-two-fields\nX-Jwt: ${good}\nX-Jwt: bad\n\n`,
    ),
    raw(
      'jwtp-two-good-fields',
      'jwt-providers',
      `GET /headers HTTP/1.1\nHost: jwtp.test\nX-Case: jwtp-two-good-fields\nX-Jwt: ${good}\nX-Jwt: ${good}\n\n`,
    ),
  ],
};
