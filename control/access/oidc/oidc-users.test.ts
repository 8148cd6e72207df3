import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FetchError } from '../../jwks/key-fetcher.ts';
import { type OidcSettings, oidcUsers } from './oidc-users.ts';
import { ProviderKeys } from './provider-keys.ts';

const issuer = 'https://login.example/realm';
const settings: OidcSettings = {
  issuer,
  clientId: 'mesh',
  usernameClaim: 'sub',
  usernamePrefix: 'oidc:',
  groupsClaim: 'groups',
  groupsPrefix: 'oidc:',
  requiredClaims: {},
  algorithms: ['RS256'],
};

type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
let first: Pair;
let second: Pair;
beforeAll(async () => {
  [first, second] = await Promise.all([generateKeyPair('RS256'), generateKeyPair('RS256')]);
});

/** The provider: what it publishes, how often it was asked, and the time. */
let published: { kid?: string; key: Pair }[];
let fetches: number;
let isDown: boolean;
let ms: number;
let lines: string[];
beforeEach(() => {
  published = [{ kid: 'first', key: first }];
  fetches = 0;
  isDown = false;
  ms = 0;
  lines = [];
});

const fetcher = {
  async fetch(url: string) {
    if (isDown) throw new FetchError('login.example cannot be asked: ECONNREFUSED');
    if (url === `${issuer}/.well-known/openid-configuration`)
      return JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` });
    expect(url).toBe(`${issuer}/keys`);
    fetches++;
    const keys = await Promise.all(
      published.map(async ({ kid, key }) => ({ ...(await exportJWK(key.publicKey)), ...(kid && { kid }), use: 'sig' })),
    );
    return JSON.stringify({ keys });
  },
};

function users(changes: Partial<OidcSettings> = {}) {
  const keys = new ProviderKeys({
    issuer,
    fetcher,
    refreshMs: 1_200_000,
    log: (line) => void lines.push(line),
    now: () => ms,
  });
  return oidcUsers({ settings: { ...settings, ...changes }, keys });
}

interface Signed {
  readonly claims?: JWTPayload;
  readonly by?: Pair;
  readonly kid?: string | undefined;
  readonly alg?: string;
  readonly expires?: string | number;
}

const sign = ({ claims = {}, by = first, kid = 'first', alg = 'RS256', expires = '5m' }: Signed = {}) =>
  new SignJWT({ iss: issuer, aud: 'mesh', sub: 'jane', ...claims })
    .setProtectedHeader({ alg, ...(kid !== '' && { kid }) })
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(by.privateKey);

describe('the user of a token', () => {
  it('has the name and the groups of its claims, with their prefixes', async () => {
    const token = await sign({ claims: { groups: ['shop', 'ops'], jti: 'x' } });
    expect(await users()(token)).toEqual({
      name: 'oidc:jane',
      groups: ['oidc:shop', 'oidc:ops'],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=x'] },
    });
    expect((await users()(await sign({ claims: { groups: 'shop' } })))?.groups).toEqual(['oidc:shop']);
    expect((await users()(await sign()))?.groups).toEqual([]);
  });

  it('may be the e-mail address, unless that is not verified', async () => {
    const find = users({ usernameClaim: 'email', usernamePrefix: '' });
    const of = async (claims: JWTPayload) => (await find(await sign({ claims })))?.name;
    expect(await of({ email: 'jane@shop.example', email_verified: true })).toBe('jane@shop.example');
    expect(await of({ email: 'jane@shop.example' })).toBe('jane@shop.example');
    expect(await of({ email: 'jane@shop.example', email_verified: false })).toBeUndefined();
    expect(await of({ email: 'jane@shop.example', email_verified: 'true' })).toBeUndefined();
    expect(await of({})).toBeUndefined();
  });

  it('is never one of the control plane, nor in a group of its own', async () => {
    const find = users({ usernamePrefix: '', groupsPrefix: '' });
    expect(await find(await sign({ claims: { sub: 'system:serviceaccount:a:b' } }))).toBeUndefined();
    expect((await find(await sign({ claims: { groups: ['system:masters', 'shop'] } })))?.groups).toEqual(['shop']);
    expect(await users({ usernamePrefix: 'sys' })(await sign({ claims: { sub: 'tem:a' } }))).toBeUndefined();
  });

  it('needs the claims that are required, with their values', async () => {
    const find = users({ requiredClaims: { hd: 'shop.example' } });
    expect(await find(await sign({ claims: { hd: 'shop.example' } }))).toBeDefined();
    for (const claims of [{}, { hd: 'other' }, { hd: ['shop.example'] }])
      expect(await find(await sign({ claims }))).toBeUndefined();
  });
});

describe('a token is refused', () => {
  it.each<[string, Signed]>([
    ['of another audience', { claims: { aud: 'other' } }],
    ['of another issuer', { claims: { iss: `${issuer}/` } }],
    [
      'of another key',
      {
        get by() {
          return second;
        },
      },
    ],
    ['that has ended', { expires: Math.floor(Date.now() / 1000) - 60 }],
    ['that is not valid yet', { claims: { nbf: Math.floor(Date.now() / 1000) + 600 } }],
    ['whose user is no text', { claims: { sub: undefined } as never }],
    ['whose groups are no list of texts', { claims: { groups: [{ name: 'shop' }] } }],
    ['with too many groups', { claims: { groups: Array.from({ length: 1001 }, (_, i) => `g${i}`) } }],
  ])('%s', async (_, signed) => expect(await users()(await sign(signed))).toBeUndefined());

  it('without a signature, with a changed payload, with a claim twice, or that is none', async () => {
    const token = await sign();
    const [head, , signature] = token.split('.');
    const payload = Buffer.from(`{"iss":"${issuer}","aud":"mesh","sub":"root","exp":9999999999}`).toString('base64url');
    const twice = Buffer.from(`{"iss":"${issuer}","sub":"a","sub":"b"}`).toString('base64url');
    const none = new UnsecuredJWT({ iss: issuer, aud: 'mesh', sub: 'jane', exp: 9_999_999_999 }).encode();
    for (const each of [
      `${head}.${payload}.${signature}`,
      `${head}.${twice}.${signature}`,
      none,
      'a.b.c',
      'opaque',
      '',
    ])
      expect(await users()(each)).toBeUndefined();
  });

  it('of an algorithm that is not allowed', async () => {
    const key = await generateKeyPair('RS512');
    published = [{ kid: 'first', key }];
    const token = await sign({ by: key, alg: 'RS512' });
    expect(await users()(token)).toBeUndefined();
    expect(await users({ algorithms: ['RS512'] })(token)).toBeDefined();
  });

  it('that has no end', async () => {
    const token = await new SignJWT({ iss: issuer, aud: 'mesh', sub: 'jane' })
      .setProtectedHeader({ alg: 'RS256', kid: 'first' })
      .sign(first.privateKey);
    expect(await users()(token)).toBeUndefined();
  });
});

describe('the keys of the provider', () => {
  it('are fetched once, and again for a key that is not known', async () => {
    const find = users();
    const token = await sign();
    expect(await Promise.all([find(token), find(token), find(token)])).not.toContain(undefined);
    expect(fetches).toBe(1);
    published = [{ kid: 'second', key: second }];
    const rotated = await sign({ by: second, kid: 'second' });
    ms = 11_000;
    expect(await find(rotated)).toBeDefined();
    expect(fetches).toBe(2);
    expect(await find(token)).toBeUndefined();
  });

  it('are not fetched more often for made-up key ids, nor for other tokens', async () => {
    const find = users();
    expect(await find(await sign({ claims: { iss: 'https://other.example' } }))).toBeUndefined();
    expect(await find('opaque')).toBeUndefined();
    expect(fetches).toBe(0);
    for (let i = 0; i < 50; i++) expect(await find(await sign({ kid: `made-up-${i}` }))).toBeUndefined();
    expect(fetches).toBe(1);
    ms = 11_000;
    await find(await sign({ kid: 'made-up' }));
    expect(fetches).toBe(2);
  });

  it('of a token without key id all are tried', async () => {
    published = [{ key: second }, { key: first }];
    const other = await generateKeyPair('RS256');
    const find = users();
    expect(await find(await sign({ kid: '' }))).toBeDefined();
    expect(await find(await sign({ kid: '', by: other }))).toBeUndefined();
  });

  it('stay valid for a day while the provider is away, then no token is', async () => {
    const find = users();
    const token = await sign({ expires: '9d' });
    expect(await find(token)).toBeDefined();
    isDown = true;
    ms = 23 * 3_600_000;
    expect(await find(token)).toBeDefined();
    ms = 25 * 3_600_000;
    expect(await find(token)).toBeUndefined();
    expect(lines).toEqual([
      `OpenID provider ${issuer}: its keys cannot be fetched: login.example cannot be asked: ECONNREFUSED`,
    ]);
    isDown = false;
    ms += 11_000;
    expect(await find(token)).toBeDefined();
  });

  it('are taken away by the provider within the interval of refreshes', async () => {
    const find = users();
    const token = await sign();
    expect(await find(token)).toBeDefined();
    published = [{ kid: 'second', key: second }];
    ms = 1_200_000;
    // The first look begins the fetch, and does not wait for it.
    await find(token);
    await expect.poll(() => fetches).toBe(2);
    await expect.poll(() => find(token)).toBeUndefined();
  });

  it('without any no token is valid; the provider is asked again later', async () => {
    isDown = true;
    const find = users();
    const token = await sign();
    expect(await find(token)).toBeUndefined();
    isDown = false;
    expect(await find(token)).toBeUndefined();
    ms = 11_000;
    expect(await find(token)).toBeDefined();
  });
});
