import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { JWT_SVID_FILTER, JwtAuthentication as Schema } from '../../../../shared/xds/filters/jwt-authn.ts';
import { Stats } from '../../../telemetry/stats.ts';
import type { RequestContext } from '../../request/request-context.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import type { FilterEnv } from '../definition.ts';
import type { HeadAnswer } from '../hooks.ts';
import { createJwtAuthnFilter, type RouteRequirement } from './filter.ts';
import { jwtAuthn } from './index.ts';
import { parseToken } from './token.ts';

const START = Date.UTC(2026, 0, 1);
const issuer = 'https://issuer.test';
type Keys = Awaited<ReturnType<typeof generateKeyPair>>;
let keys: Keys;
let jwks: string;
let now = START;

beforeAll(async () => {
  keys = await generateKeyPair('ES256');
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'one' }] });
});

const token = (claims: object = {}): Promise<string> =>
  new SignJWT({ iss: issuer, sub: 'alice', exp: START / 1000 + 600, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .sign(keys.privateKey);

const provider = (more: object = {}) => ({ issuer, localJwks: { inlineString: jwks }, ...more });
const optional = { requiresAny: { requirements: [{ providerName: 'p' }, { allowMissing: {} }] } };

function filter(more: object = {}, around: object = {}, ofRoute?: RouteRequirement) {
  const config = Schema.parse({
    providers: { p: provider(more) },
    rules: [{ match: { prefix: '/' }, requires: optional }],
    ...around,
  });
  const env = { now: () => now, random: () => 0 };
  const { onRequestHead } = createJwtAuthnFilter(config, { env, routeConfig: () => ofRoute });
  return (request: RequestContext) => onRequestHead!(contextOf(request), true);
}
const request = (bearer: string | undefined, headers: Record<string, string> = {}, path = '/') =>
  requestDouble({ path, headers: { ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }), ...headers } });
const payloadOf = (one: RequestContext) => one.metadata?.['envoy.filters.http.jwt_authn']?.['payload'];

describe('headers that only verified tokens set', () => {
  const writes = { claimToHeaders: [{ headerName: 'X-User', claimName: 'sub' }], forwardPayloadHeader: 'X-Payload' };
  const forged = { 'x-user': 'root', 'X-PAYLOAD': 'forged' };
  it.each<[string, object, RouteRequirement | undefined, object?]>([
    ['without a token', {}, undefined],
    ['where no rule matches', { rules: [{ match: { prefix: '/other' }, requires: optional }] }, undefined],
    ['where the route asks for none', {}, { disabled: true }],
    [
      'in a preflight',
      { bypassCorsPreflight: true },
      undefined,
      { origin: 'a', 'access-control-request-method': 'GET' },
    ],
  ])('are taken out of a request %s', async (_, around, ofRoute, more = {}) => {
    const one = request(undefined, { ...forged, ...more });
    if ('origin' in more) one.method = 'OPTIONS';
    expect(await filter(writes, around, ofRoute)(one)).toBeUndefined();
    expect([one.headers.has('x-user'), one.headers.has('x-payload')]).toEqual([false, false]);
  });
  it('are replaced where there is one', async () => {
    const one = request(await token(), forged);
    expect(await filter(writes)(one)).toBeUndefined();
    expect(one.headers.joined('x-user')).toBe('alice');
    expect(one.headers.joined('x-payload')).toMatch(/^eyJ/);
  });
  it('hold no claim that could end a header and begin another', async () => {
    for (const sub of ['a\r\nx-admin: 1', 'a\nb', 'a\0', '\x7f']) {
      const one = request(await token({ sub }), forged);
      expect(await filter(writes)(one)).toBeUndefined();
      expect(one.headers.has('x-user')).toBe(false);
    }
  });
});

describe('a token that was verified before', () => {
  it('is answered at once, as long as it is valid', async () => {
    now = START;
    const one = filter({ payloadInMetadata: 'payload' });
    const text = await token();
    expect(await one(request(text))).toBeUndefined();
    const again = request(text);
    expect(one(again)).toBeUndefined();
    expect(payloadOf(again)).toMatchObject({ sub: 'alice' });
    now = START + 600_000 + 60_000;
    expect(one(request(text))).toBeUndefined();
    now = START + 600_000 + 61_000;
    expect(one(request(text))).toMatchObject({ status: 401, body: 'Jwt is expired' });
    now = START;
  });
  it('is verified again after a key set has changed', async () => {
    const text = await token();
    await filter()(request(text));
    const other = await generateKeyPair('ES256');
    const changed = JSON.stringify({ keys: [{ ...(await exportJWK(other.publicKey)), kid: 'two' }] });
    expect(await filter({ localJwks: { inlineString: changed } })(request(text))).toMatchObject({ status: 401 });
  });
  it('is forgotten when others fill the cache', async () => {
    const one = filter({ jwtCacheConfig: { jwtCacheSize: 2 } });
    const [a, b, c] = [await token({ n: 1 }), await token({ n: 2 }), await token({ n: 3 })];
    for (const text of [a, b]) await one(request(text));
    expect(one(request(a))).toBeUndefined();
    await one(request(c));
    expect(one(request(b))).toBeInstanceOf(Promise);
    expect(one(request(c))).toBeUndefined();
  });
  it('of another requirement is still judged for its audience', async () => {
    const one = filter({ audiences: ['a'] });
    const text = await token({ aud: 'b' });
    for (let i = 0; i < 2; i++) expect(await one(request(text))).toMatchObject({ status: 403 });
  });
});

it('a default clock skew of a minute', async () => {
  now = START;
  const one = filter();
  const answers: HeadAnswer[] = [];
  for (const claims of [{ exp: START / 1000 - 60 }, { exp: START / 1000 - 61 }, { nbf: START / 1000 + 61 }])
    answers.push(await one(request(await token(claims))));
  expect(answers).toMatchObject([undefined, { body: 'Jwt is expired' }, { body: 'Jwt not yet valid' }]);
});

it('takes its parameter out of the query and leaves the others as they are', async () => {
  const text = await token();
  for (const [path, left] of [
    [`/a?x=%41&access_token=${text}&y`, '/a?x=%41&y'],
    [`/a?access_token=${text}`, '/a'],
    [`/a?%61ccess_token=${text}&access_token=${text}#f`, '/a#f'],
  ] as const) {
    const one = request(undefined, {}, path);
    expect(await filter()(one)).toBeUndefined();
    expect(one.path).toBe(left);
  }
});

it('names the path as it came in the realm, and no token of its own making', async () => {
  const both = request('bad', {}, `/a?access_token=${await token()}`);
  const path = both.path;
  expect(await filter()(both)).toMatchObject({
    headers: { 'www-authenticate': `Bearer realm="http://reviews${path.slice(0, 256)}", error="invalid_token"` },
  });
});

it('looks a route up again only for a token that routes may ask for', async () => {
  let chosen = 0;
  const config = (more: object) =>
    createJwtAuthnFilter(
      Schema.parse({ providers: { p: provider(more) }, rules: [{ match: { prefix: '/' }, requires: optional }] }),
      { env: { now: () => START, random: () => 0 }, routeConfig: () => undefined },
    );
  for (const more of [{ clearRouteCache: true, payloadInMetadata: 'payload' }, { clearRouteCache: true }, {}])
    for (const text of [await token(), undefined])
      await config(more).onRequestHead!(
        Object.assign(contextOf(request(text)), { chooseRoute: () => void chosen++ }),
        true,
      );
  expect(chosen).toBe(1);
});

describe('texts that are no tokens', () => {
  const part = (text: string) => Buffer.from(text).toString('base64url');
  const of = (header: string, payload: string) => parseToken(`${part(header)}.${part(payload)}.${part('s')}`);
  const ES = '{"alg":"ES256"}';
  it.each([
    ['a key twice', ES, '{"a":1,"a":1}'],
    ['a key twice, inside', ES, '{"a":{"b":[{"c":1,"c":2}]}}'],
    ['a key twice, escaped', ES, '{"a":1,"\\u0061":1}'],
    ['too deep', ES, `{"a":${'['.repeat(40)}${']'.repeat(40)}}`],
    ['a number out of range', ES, '{"a":1e999}'],
    ['a list', ES, '[]'],
    ['null', ES, 'null'],
    ['two values', ES, '{} {}'],
    ['single quotes', ES, "{'a':1}"],
    ['a comma too many', ES, '{"a":1,}'],
    ['a byte order mark', ES, '\ufeff{}'],
  ])('%s', (_, header, payload) =>
    expect(of(header, payload)).toMatchObject({ text: 'Jwt payload is an invalid JSON' }),
  );
  it('bytes that are not UTF-8', () => {
    const payload = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url');
    expect(parseToken(`${part(ES)}.${payload}.${part('s')}`)).toMatchObject({ text: 'Jwt payload is an invalid JSON' });
  });
  it('padding, spaces, bits that are left over', () => {
    for (const [signature, text] of [
      ['AA==', 'Jwt signature is an invalid Base64url encoded'],
      ['A A', 'Jwt signature is an invalid Base64url encoded'],
      ['AB', 'Jwt signature is an invalid Base64url encoded'],
      ['AAAAA', 'Jwt signature is an invalid Base64url encoded'],
      ['A+A', 'Jwt signature is an invalid Base64url encoded'],
    ])
      expect(parseToken(`${part(ES)}.${part('{}')}.${signature}`)).toMatchObject({ text });
  });
  it('colons, braces and quotes inside texts are text', () =>
    expect(of(ES, '{"a:{[":"\\":{[\\\\","b":{"a:":[]}}')).toMatchObject({ alg: 'ES256' }));
  it('longer than 32 KiB', () => expect(of(ES, `{"a":"${'x'.repeat(33_000)}"}`)).toHaveProperty('code', 4));
});

describe('configuration it refuses', () => {
  it.each<[object, object, string]>([
    [{ localJwks: { inlineString: '{"keys":[]}' } }, {}, 'providers["p"].localJwks: is no JSON Web Key Set'],
    [{ localJwks: { inlineString: 'secret' } }, {}, 'providers["p"].localJwks: is no JSON Web Key Set'],
    [{ localJwks: { filename: '/x' } }, {}, 'providers["p"].localJwks: must have the keys'],
    [{ forwardPayloadHeader: 'a b' }, {}, 'providers["p"].forwardPayloadHeader: must be a header name'],
    [
      { claimToHeaders: [{ headerName: 'Content-Length', claimName: 'n' }] },
      {},
      'providers["p"].claimToHeaders[0].headerName: cannot be a header that frames',
    ],
    [{ claimToHeaders: [{ headerName: ':path', claimName: 'n' }] }, {}, 'headerName: must be a header name'],
    [{ localJwks: undefined }, {}, 'providers["p"].localJwks: must have the keys'],
    [{}, { rules: [{ match: { prefix: '/' }, requires: { providerName: 'q' } }] }, 'there is no provider "q"'],
    [{}, { rules: [{ match: { prefix: '/' }, requirementName: 'q' }] }, 'there is no requirement "q"'],
    [
      {},
      { rules: [{ match: { prefix: '/' }, requires: { requiresAny: { requirements: [{ providerName: 'p' }] } } }] },
      'requiresAny.requirements: must have at least 2 items',
    ],
  ])('%j %j', (more, around, reason) => {
    let message = '';
    try {
      filter(more, around);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(reason);
    expect(message).not.toContain('secret');
  });
  it.each(['remoteJwks', 'filterStateRules'])('%s', (name) => {
    const read = Schema.safeParse(
      name === 'remoteJwks' ? { providers: { p: { remoteJwks: {} } } } : { filterStateRules: {} },
    );
    expect(JSON.stringify(read.error?.issues)).toContain(name);
  });
});

describe('counters', () => {
  const stats = new Stats();
  const read = () => Object.fromEntries(stats.entries().filter(([, value]) => value > 0));
  const made = (name: string, around: object, ofRoute?: RouteRequirement) => {
    const config = Schema.parse({ providers: { p: provider() }, ...around });
    const env = { ...clock, managerCounter: (what: string) => stats.scope('http', 'in').counter(what) };
    const use = { name, env: env as unknown as FilterEnv, routeConfig: () => ofRoute };
    return (one: RequestContext) => jwtAuthn.create(config, use)!.onRequestHead!(contextOf(one), true);
  };
  const clock = { now: () => START, random: () => 0 };
  const required = { rules: [{ match: { prefix: '/a' }, requires: { providerName: 'p' } }] };

  it('of what is allowed and denied, and why', async () => {
    const preflight = () => request(undefined, { origin: 'x', 'access-control-request-method': 'GET' }, '/a');
    await made('jwt', required)(request(await token(), {}, '/a'));
    await made('jwt', required)(request(undefined, {}, '/a'));
    await made('jwt', required)(request(undefined, {}, '/b'));
    await made('jwt', required, { disabled: true })(request(undefined, {}, '/a'));
    await made('jwt', required, { name: 'unknown' })(request(undefined, {}, '/a'));
    const one = preflight();
    one.method = 'OPTIONS';
    await made('jwt', { ...required, bypassCorsPreflight: true })(one);
    expect(read()).toEqual({
      'http.in.jwt_authn.allowed': 4,
      'http.in.jwt_authn.denied': 2,
      'http.in.jwt_authn.cors_preflight_bypassed': 1,
      'http.in.jwt_authn.jwt_cache_miss': 1,
    });
  });

  it('of tokens that were verified before, and of JWT-SVIDs by a name of their own', async () => {
    const config = Schema.parse({ providers: { p: provider() }, ...required });
    const env = { ...clock, managerCounter: (what: string) => stats.scope('http', 'two').counter(what) };
    const use = { name: 'jwt', env: env as unknown as FilterEnv, routeConfig: () => undefined };
    const { onRequestHead } = jwtAuthn.create(config, use)!;
    const text = await token();
    for (let i = 0; i < 3; i++) await onRequestHead!(contextOf(request(text, {}, '/a')), true);
    const svids = Schema.parse({
      providers: { p: provider({ audiences: ['a'], subjects: { prefix: 'spiffe://t/' } }) },
      ...required,
    });
    jwtAuthn.create(svids, { ...use, name: JWT_SVID_FILTER })!.onRequestHead!(
      contextOf(request(undefined, {}, '/b')),
      true,
    );
    const found = Object.entries(read()).filter(([name]) => name.startsWith('http.two.'));
    expect(Object.fromEntries(found)).toEqual({
      'http.two.jwt_authn.allowed': 3,
      'http.two.jwt_authn.jwt_cache_hit': 2,
      'http.two.jwt_authn.jwt_cache_miss': 1,
      'http.two.jwt_svid.allowed': 1,
    });
  });
});
