import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { type JwtAuthentication, JwtAuthentication as Schema } from '../../../../shared/xds/filters/jwt-authn.ts';
import type { LocalReply, RequestContext } from '../../request/request-context.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import type { FilterHooks, HeadAnswer } from '../hooks.ts';
import { createJwtSvidFilter } from './svid-filter.ts';

type Keys = Awaited<ReturnType<typeof generateKeyPair>>;
const now = Date.UTC(2026, 0, 1);
const issuer = 'https://control.example';
const worker = 'spiffe://cluster.local/ns/edge/sa/worker';
let mesh: Keys;
let foreign: Keys;
let meshKeys: string;
let foreignKeys: string;

async function keySet(keys: Keys, kid: string): Promise<string> {
  return JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid, alg: 'ES256', use: 'sig' }] });
}
beforeAll(async () => {
  mesh = await generateKeyPair('ES256');
  foreign = await generateKeyPair('ES256');
  meshKeys = await keySet(mesh, 'one');
  foreignKeys = await keySet(foreign, 'one');
});

type Claims = { sub?: string; aud?: string | string[]; iss?: string; exp?: number | null };
function token(claims: Claims = {}, key: Keys['privateKey'] = mesh.privateKey, typ = 'JWT'): Promise<string> {
  const { sub = worker, aud = 'gateway', iss = issuer, exp = now / 1000 + 60 } = claims;
  const jwt = new SignJWT({ sub, aud, iss, ...(exp !== null && { exp }) });
  return jwt.setProtectedHeader({ alg: 'ES256', kid: 'one', typ }).sign(key);
}

type Provider = NonNullable<JwtAuthentication['providers']>[string];
const provider = (more: Partial<Provider> = {}): Provider => ({
  issuer,
  audiences: ['gateway'],
  subjects: { prefix: 'spiffe://cluster.local/' },
  localJwks: { inlineString: meshKeys },
  payloadInMetadata: 'payload',
  ...more,
});
const only = { providerName: 'mesh' };
const orMissing = { requiresAny: { requirements: [only, { allowMissing: {} }] } };
const create = (config: JwtAuthentication, trustDomain?: string) =>
  createJwtSvidFilter(config, {
    env: { now: () => now, random: () => 0, ...(trustDomain && { trustDomain }) },
    routeConfig: () => undefined,
  });
const filter = (
  requires: Record<string, unknown> = orMissing,
  providers: Record<string, Provider> = { mesh: provider() },
  trustDomain?: string,
): FilterHooks => {
  // Through the schema: these are configurations a proxy accepts.
  const config = Schema.parse({ providers, rules: [{ match: { prefix: '/' }, requires }] });
  return create(config, trustDomain);
};
const ask = (one: FilterHooks, request: RequestContext): Promise<HeadAnswer> =>
  Promise.resolve(one.onRequestHead!(contextOf(request), true));
const bearer = (text: string, path = '/') => requestDouble({ path, headers: { authorization: `Bearer ${text}` } });
const NO_JWT = 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections';
const refused = (body: string, status = 401): Partial<LocalReply> => ({
  status,
  body,
  details: `jwt_authn_access_denied{${body.replaceAll(' ', '_')}}`,
  headers: { 'www-authenticate': 'Bearer realm="http://reviews/", error="invalid_token"' },
});

describe('a token that is believed', () => {
  it('proves its subject, leaves its claims in metadata, and goes no further', async () => {
    const request = bearer(await token());
    expect(await ask(filter(), request)).toBeUndefined();
    expect(request.tokenPrincipal).toBe(worker);
    expect(request.headers.has('authorization')).toBe(false);
    expect(request.metadata).toEqual({
      'envoy.filters.http.jwt_authn': {
        payload: { iss: issuer, sub: worker, aud: 'gateway', exp: now / 1000 + 60 },
      },
    });
  });
  it('stays where the provider forwards it', async () => {
    const request = bearer(await token());
    await ask(filter(only, { mesh: provider({ forward: true }) }), request);
    expect(request.tokenPrincipal).toBe(worker);
    expect(request.headers.has('authorization')).toBe(true);
  });
  it('comes from the header the provider names, and only from there', async () => {
    const one = filter(only, { mesh: provider({ fromHeaders: [{ name: 'X-Token', valuePrefix: '' }] }) });
    const request = requestDouble({ headers: { 'x-token': await token() } });
    expect(await ask(one, request)).toBeUndefined();
    expect(request.headers.has('x-token')).toBe(false);
    expect(await ask(one, bearer(await token()))).toMatchObject({ status: 401, body: 'Jwt is missing' });
  });
});

describe('a token that is not believed', () => {
  const unsigned = (alg: string) => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg, kid: 'one' })}.${part({ sub: worker, aud: 'gateway', iss: issuer, exp: now / 1000 + 60 })}.`;
  };
  const hs256 = () =>
    new SignJWT({ sub: worker, aud: 'gateway', iss: issuer, exp: now / 1000 + 60 })
      .setProtectedHeader({ alg: 'HS256', kid: 'one' })
      // The public key as the secret: the classic confusion.
      .sign(new TextEncoder().encode(meshKeys));
  it.each<[string, () => Promise<string> | string, string?]>([
    ['signed by another key', () => token({}, foreign.privateKey)],
    ['changed', async () => (await token()).replace(/\.[^.]{10}/, '.AAAAAAAAAA'), 'Jwt payload is an invalid JSON'],
    [
      'cut to a length that no base64url has',
      async () => (await token()).slice(0, -5),
      'Jwt signature is an invalid Base64url encoded',
    ],
    ['alg none', () => unsigned('none'), NO_JWT],
    ['alg none, signed', async () => `${unsigned('none')}AAAA`, 'Jwt header [alg] is not supported'],
    ['alg NONE', () => unsigned('NonE'), NO_JWT],
    ['alg ES256 without signature', () => unsigned('ES256'), NO_JWT],
    ['alg HS256', hs256, "Jwks doesn't have key to match kid or alg from Jwt"],
    ['for another audience', () => token({ aud: 'other' }), 'Audiences in Jwt are not allowed'],
    ['of another issuer', () => token({ iss: 'https://evil.example' }), 'Jwt issuer is not configured'],
    ['expired', () => token({ exp: now / 1000 - 1 }), 'Jwt is expired'],
    ['without expiry', () => token({ exp: null })],
    ['of another trust domain', () => token({ sub: 'spiffe://evil/ns/a/sa/b' })],
    ['of a trust domain that begins alike', () => token({ sub: 'spiffe://cluster.local.evil/ns/a/sa/b' })],
    ['of no SPIFFE id', () => token({ sub: 'root' })],
    ['of another type', () => token({}, mesh.privateKey, 'at+jwt')],
    ['not a token', () => 'x', NO_JWT],
    ['empty', () => '', NO_JWT],
    ['huge', () => 'a'.repeat(9000), NO_JWT],
    ['two in one header', async () => `${await token()},Bearer ${await token()}`, NO_JWT],
  ])('%s', async (_, make, reason = 'Jwt verification fails') => {
    for (const requires of [only, orMissing]) {
      const request = bearer(await make());
      const status = reason.startsWith('Audiences') ? 403 : 401;
      expect(await ask(filter(requires), request)).toMatchObject(refused(reason, status));
      expect(request.tokenPrincipal).toBeUndefined();
      expect(request.metadata).toBeUndefined();
    }
  });
  it('passes without an identity where failures are allowed', async () => {
    const request = bearer(await token({}, foreign.privateKey));
    const either = { requiresAny: { requirements: [only, { allowMissingOrFailed: {} }] } };
    expect(await ask(filter(either), request)).toBeUndefined();
    expect(request.tokenPrincipal).toBeUndefined();
  });
  it('two tokens of which one is another', async () => {
    const fromHeaders = [{ name: 'x-a' }, { name: 'x-b' }];
    const one = filter(only, { mesh: provider({ fromHeaders }) });
    const good = await token();
    const other = await token({ sub: 'spiffe://cluster.local/ns/a/sa/b' });
    expect(await ask(one, requestDouble({ headers: { 'x-a': good, 'x-b': other } }))).toMatchObject(
      refused('Jwt verification fails'),
    );
    const same = requestDouble({ headers: { 'x-a': good, 'x-b': good } });
    expect(await ask(one, same)).toBeUndefined();
    expect(same.headers.size).toBe(0);
  });
});

describe('no token', () => {
  it('is refused where one is required, for every path', async () => {
    for (const path of ['/', '/x', '*', '']) {
      expect(await ask(filter(only), requestDouble({ path }))).toMatchObject({
        status: 401,
        body: 'Jwt is missing',
        details: 'jwt_authn_access_denied{Jwt_is_missing}',
        headers: { 'www-authenticate': `Bearer realm="http://reviews${path}"` },
      });
    }
  });
  it('asks no promise where it may be missing', () => {
    expect(filter().onRequestHead!(contextOf(requestDouble()), true)).toBeUndefined();
    // Another scheme is no token.
    expect(
      filter().onRequestHead!(contextOf(requestDouble({ headers: { authorization: 'Basic eDp5' } })), true),
    ).toBeUndefined();
  });
  it('the first rule whose prefix fits decides', async () => {
    const config = Schema.parse({
      providers: { mesh: provider() },
      rules: [{ match: { prefix: '/health' } }, { match: { prefix: '/' }, requires: only }],
    });
    const one = create(config);
    expect(await ask(one, requestDouble({ path: '/healthz' }))).toBeUndefined();
    expect(await ask(one, requestDouble({ path: '/other' }))).toMatchObject({ status: 401 });
  });
});

describe('several providers', () => {
  const both = { requiresAny: { requirements: [only, { providerName: 'partner' }] } };
  const providers = () => ({
    mesh: provider(),
    partner: provider({
      issuer: 'https://partner.example',
      subjects: { prefix: 'spiffe://partner/' },
      localJwks: { inlineString: foreignKeys },
    }),
  });
  it('each vouches for its own trust domain only', async () => {
    const iss = 'https://partner.example';
    const own = bearer(await token({ iss, sub: 'spiffe://partner/ns/a/sa/b' }, foreign.privateKey));
    expect(await ask(filter(both, providers()), own)).toBeUndefined();
    expect(own.tokenPrincipal).toBe('spiffe://partner/ns/a/sa/b');
    const forged = bearer(await token({ iss }, foreign.privateKey));
    expect(await ask(filter(both, providers()), forged)).toMatchObject(refused('Jwt verification fails'));
  });
  it('one of a foreign trust domain proves no principal where the own one is known', async () => {
    const iss = 'https://partner.example';
    const request = bearer(await token({ iss, sub: 'spiffe://partner/ns/a/sa/b' }, foreign.privateKey));
    expect(await ask(filter(both, providers(), 'cluster.local'), request)).toBeUndefined();
    expect(request.tokenPrincipal).toBeUndefined();
    const own = bearer(await token());
    await ask(filter(both, providers(), 'cluster.local'), own);
    expect(own.tokenPrincipal).toBe(worker);
  });
});

describe('configuration it refuses', () => {
  it.each<[string, () => Partial<Provider>]>([
    ['audiences', () => ({ audiences: [] })],
    ['audiences', () => ({ audiences: ['a', 'b'] })],
    ['issuer', () => ({ issuer: '' })],
    ['subjects', () => ({ subjects: {} })],
    ['subjects', () => ({ subjects: { prefix: 'spiffe://' } })],
    ['subjects', () => ({ subjects: { prefix: 'spiffe://cluster.local' } })],
    ['subjects', () => ({ subjects: { prefix: 'spiffe://cluster.local/ns/a' } })],
    ['subjects', () => ({ subjects: { safeRegex: { regex: '.*' } } })],
    ['localJwks', () => ({ localJwks: {} })],
    ['localJwks', () => ({ localJwks: { inlineString: 'secret' } })],
  ])('%s', (field, more) => {
    let message = '';
    try {
      filter(only, { mesh: provider(more()) });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(`providers["mesh"].${field}`);
    expect(message).not.toContain('secret');
  });
  it.each([
    [{ providerName: 'unserved' }, 'unserved'],
    [{ requiresAll: { requirements: [only] } }, 'requiresAll.requirements: must have at least 2 items'],
  ])('%j', (requires, reason) => expect(() => filter(requires)).toThrow(reason));
});
