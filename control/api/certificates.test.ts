import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCsr } from '../../shared/identity/csr.ts';
import { controlPlaneAudience, verifyJwtSvid } from '../../shared/identity/jwt-svid.ts';
import { generateKeys } from '../../shared/identity/keys.ts';
import { parseSvid } from '../../shared/identity/svid.ts';
import { Accounts } from '../ca/accounts.ts';
import { openAuthority } from '../ca/authority.ts';
import { JoinTokens } from '../ca/join-tokens.ts';
import { isHeld } from '../ca/joins.ts';
import { type JwtSvids, openJwtSvids } from '../ca/jwt-svids.ts';
import { randomSerial } from '../ca/key-material.ts';
import { openJoins } from '../ca/life/sqlite-joins.ts';
import { memoryTokenStore } from '../ca/token-store.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceStore } from '../store/store.ts';
import { createInitialNamespaces } from './app.ts';
import { authenticate } from './auth.ts';
import type { ApiEnv } from './caller.ts';
import { certificateRoutes } from './certificates.ts';

const id = 'spiffe://td/ns/default/sa/reviews';
let folder: string;
let app: Hono<ApiEnv>;
let jwtSvids: JwtSvids;
let store: ResourceStore;
let accounts: Accounts;
let tokens: JoinTokens;
let joins: Awaited<ReturnType<typeof openJoins>>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-api-'));
  const authority = await openAuthority({ folder, trustDomain: 'td' });
  jwtSvids = await openJwtSvids({
    folder,
    trustDomain: 'td',
    issuer: 'https://control',
    isHeld: (one) => isHeld(joins, one),
  });
  tokens = new JoinTokens(memoryTokenStore());
  store = memoryStore();
  await createInitialNamespaces(store);
  accounts = await Accounts.open(store, { load: async () => [], record: async () => {} });
  joins = await openJoins(join(folder, 'joins.sqlite'), { graceMs: 0 });
  app = new Hono<ApiEnv>();
  app.use(authenticate({ isAdmin: (token) => token === 'admin-token' }));
  app.route('/', certificateRoutes({ authority, tokens, accounts, joins, jwtSvids }));
});
afterAll(() => joins.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Who {
  bearer?: string;
  peerSpiffeId?: string;
  /** Of its certificate; default: one of an earlier version. */
  serial?: string;
}
async function call(path: string, body?: unknown, who: Who = {}) {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (who.bearer) headers.authorization = `Bearer ${who.bearer}`;
  const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) };
  const response = await app.request(path, init, who.peerSpiffeId ? peer(who) : {});
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}
function peer({ peerSpiffeId, serial = randomSerial() }: Who) {
  return { peerSpiffeId, peerCertificate: { serial, notBefore: 0, notAfter: Date.now() + 3_600_000 } };
}
const admin = { bearer: 'admin-token' };
const joinToken = async () =>
  (await call('/v1/join-tokens', { namespace: 'default', serviceAccount: 'reviews' }, admin)).body.token!;
const csr = async () => createCsr(await generateKeys());

describe('join tokens', () => {
  it('are created only by the admin', async () => {
    const request = { namespace: 'default', serviceAccount: 'reviews', ttlSeconds: 60 };
    const made = await call('/v1/join-tokens', request, admin);
    expect(made.status).toBe(200);
    expect(Date.parse(made.body.expires!) - Date.now()).toBeLessThanOrEqual(60_000);
    expect((await call('/v1/join-tokens', request)).status).toBe(401);
    expect((await call('/v1/join-tokens', request, { peerSpiffeId: id })).status).toBe(403);
  });

  it.each([
    {},
    { namespace: 'A', serviceAccount: 'b' },
    { namespace: 'a/b', serviceAccount: 'b' },
    { namespace: 'a', serviceAccount: '../b' },
    { namespace: 'a', serviceAccount: 'b', ttlSeconds: 1 },
    { namespace: 'a', serviceAccount: 'b', extra: 1 },
  ])('refuses %j', async (request) => {
    const refused = await call('/v1/join-tokens', request, admin);
    expect(refused).toMatchObject({
      status: 422,
      body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Invalid', code: 422 },
    });
  });
});

describe('certificates', () => {
  it('are issued for a join token, once', async () => {
    const token = await joinToken();
    const joined = await call('/v1/certificates', { csr: await csr(), token, ttlSeconds: 60 });
    expect(joined.status).toBe(200);
    const svid = parseSvid(joined.body.certificateChain!);
    expect(svid.spiffeId).toBe(id);
    expect(Date.parse(joined.body.notAfter!)).toBe(svid.notAfter);
    expect(joined.body.trustBundle).toBe((await call('/v1/trust-bundle')).body.trustBundle);
    const again = await call('/v1/certificates', { csr: await csr(), token });
    expect(again).toMatchObject({
      status: 401,
      body: { kind: 'Status', message: expect.stringContaining('already used') },
    });
  });

  const serialOf = (chain: string) => new X509Certificate(chain).serialNumber.toLowerCase();

  it('belong to a join, which a superseded certificate revokes', async () => {
    const token = await joinToken();
    const request = async (serial?: string) =>
      call('/v1/certificates', { csr: await csr() }, { peerSpiffeId: id, ...(serial && { serial }) });
    const first = serialOf((await call('/v1/certificates', { csr: await csr(), token })).body.certificateChain!);
    const join = joins.ofSerial(first)!;
    expect(join).toMatchObject({ namespace: 'default', serviceAccount: 'reviews', by: `token ${token.split('.')[1]}` });
    // The answer to one renewal is lost, and that to another.
    await request(first);
    await request(first);
    const second = serialOf((await request(first)).body.certificateChain!);
    expect(joins.get(join.id)).toMatchObject({ serial: second });
    expect((await request(second)).status).toBe(200);
    const refused = await request(first);
    expect(refused).toMatchObject({
      status: 403,
      body: { message: expect.stringMatching(/was revoked .*tulle invite/) },
    });
    expect((await request(second)).status).toBe(403);
    expect(joins.isRevoked(second)).toBe(true);
  });

  it('end their tokens for the control plane with them, also those that were renewed by token', async () => {
    const made = await call('/v1/certificates', { csr: await csr(), token: await joinToken() });
    const serial = serialOf(made.body.certificateChain!);
    const request = { audience: [controlPlaneAudience] };
    const { token } = (await call('/v1/jwt-svids', request, { peerSpiffeId: id, serial })).body;
    const renewed = (await call('/v1/jwt-svids', request, { bearer: token! })).body.token!;
    expect((await call('/v1/jwt-svids', request, { bearer: renewed })).status).toBe(200);
    await joins.revoke(joins.ofSerial(serial)!.id, 'by command');
    const refused = await call('/v1/jwt-svids', request, { bearer: renewed });
    expect(refused).toMatchObject({
      status: 401,
      body: { message: expect.stringMatching(/join \w+, which was revoked/) },
    });
  });

  it('of an earlier version become a join at their renewal', async () => {
    const old = randomSerial();
    const request = async (serial: string) =>
      call('/v1/certificates', { csr: await csr() }, { peerSpiffeId: id, serial });
    await request(old);
    const next = serialOf((await request(old)).body.certificateChain!);
    expect(joins.ofSerial(old)).toBe(joins.ofSerial(next));
    expect((await request(next)).status).toBe(200);
    expect((await request(old)).status).toBe(403);
  });

  it('are renewed by workloads, for themselves', async () => {
    const renewed = await call('/v1/certificates', { csr: await csr() }, { peerSpiffeId: id });
    expect(parseSvid(renewed.body.certificateChain!).spiffeId).toBe(id);
    const other = await createCsr(await generateKeys(), 'spiffe://td/ns/default/sa/other');
    const refused = await call('/v1/certificates', { csr: other }, { peerSpiffeId: id });
    expect(refused).toMatchObject({ status: 400, body: { message: expect.stringContaining('CSR names') } });
  });

  it('are not issued to anonymous callers or the admin', async () => {
    expect((await call('/v1/certificates', { csr: await csr() })).status).toBe(401);
    expect((await call('/v1/certificates', { csr: await csr() }, admin)).status).toBe(403);
    expect((await call('/v1/certificates', { csr: await csr(), token: 'x' })).status).toBe(401);
  });

  it('leave the token unused when the request is invalid', async () => {
    const token = await joinToken();
    expect((await call('/v1/certificates', { csr: 'x', token })).status).toBe(400);
    expect((await call('/v1/certificates', { csr: await csr(), token, ttlSeconds: 1 })).status).toBe(422);
    expect((await call('/v1/certificates', { csr: await csr(), token })).status).toBe(200);
  });

  it('are refused for large bodies', async () => {
    expect((await call('/v1/certificates', { csr: 'x'.repeat(100_000) })).status).toBe(413);
  });
});

describe('JWT-SVIDs', () => {
  it('are issued for a join token, then for the JWT-SVID', async () => {
    const token = await joinToken();
    const joined = await call('/v1/jwt-svids', { audience: [controlPlaneAudience], token });
    expect(joined.status).toBe(200);
    const bearer = joined.body.token!;
    const renewed = await call('/v1/jwt-svids', { audience: [controlPlaneAudience] }, { bearer });
    expect(renewed.status).toBe(200);
    const forGateway = await call('/v1/jwt-svids', { audience: ['gateway'] }, { bearer: renewed.body.token! });
    await expect(verifyJwtSvid(forGateway.body.token!, 'gateway', jwtSvids.jwks)).resolves.toMatchObject({
      spiffeId: id,
    });
    // A gateway that received this token cannot act as the worker.
    const replay = await call('/v1/jwt-svids', { audience: ['gateway'] }, { bearer: forGateway.body.token! });
    expect(replay.status).toBe(401);
    expect((await call('/v1/jwt-svids', { audience: ['gateway'], token })).status).toBe(401);
  });

  it.each([{ group: 'reviews' }, { ephemeral: true }])(
    'are refused to an invitation with %j, which costs no use',
    async (more) => {
      const { token } = await tokens.create({ namespace: 'default', serviceAccount: 'reviews', ...more });
      const refused = await call('/v1/jwt-svids', { audience: [controlPlaneAudience], token });
      expect(refused).toMatchObject({ status: 403, body: { message: expect.stringContaining('POST /v1/join') } });
      const joined = await call('/v1/certificates', { csr: await csr(), token });
      const serial = new X509Certificate(joined.body.certificateChain!).serialNumber.toLowerCase();
      const request = { audience: [controlPlaneAudience] };
      expect((await call('/v1/jwt-svids', request, { peerSpiffeId: id, serial })).status).toBe(200);
    },
  );

  it('are issued to workloads with a certificate, not to anonymous callers', async () => {
    expect((await call('/v1/jwt-svids', { audience: ['gateway'] }, { peerSpiffeId: id })).status).toBe(200);
    expect((await call('/v1/jwt-svids', { audience: ['gateway'] })).status).toBe(401);
    expect((await call('/v1/jwt-svids', { audience: ['gateway'] }, { bearer: 'x' })).status).toBe(401);
    expect((await call('/v1/jwt-svids', { audience: ['gateway'] }, admin)).status).toBe(403);
  });

  it('refuse an audience that is missing, or mixes the control plane with others', async () => {
    expect((await call('/v1/jwt-svids', { audience: [] }, { peerSpiffeId: id })).status).toBe(422);
    const mixed = await call('/v1/jwt-svids', { audience: [controlPlaneAudience, 'x'] }, { peerSpiffeId: id });
    expect(mixed).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('must be the only audience') },
    });
  });

  it('can be verified with the published keys', async () => {
    const discovery = await call('/.well-known/openid-configuration');
    expect(discovery.body).toMatchObject({ issuer: 'https://control', jwks_uri: 'https://control/keys' });
    expect((await call('/keys')).body).toEqual(jwtSvids.jwks);
  });
});

describe('identities that are taken back', () => {
  const account = { namespace: 'shop', serviceAccount: 'web' };
  const web = { peerSpiffeId: 'spiffe://td/ns/shop/sa/web' };
  const key = (plural: string, namespace: string, name: string) => ({ group: '', plural, namespace, name });
  const remove = async (path: string) => {
    const headers = { authorization: 'Bearer admin-token' };
    const response = await app.request(path, { method: 'DELETE', headers }, {});
    return { status: response.status, body: (await response.json()) as Record<string, string> };
  };

  it('are refused where the namespace does not exist, at first and later', async () => {
    const refused = await call('/v1/join-tokens', account, admin);
    expect([refused.status, refused.body.message]).toEqual([
      403,
      expect.stringContaining('namespace "shop" does not exist: create it first'),
    ]);
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
    await store.create(key('namespaces', '', 'shop'), namespace);
    expect((await call('/v1/join-tokens', account, admin)).status).toBe(200);
    expect((await call('/v1/certificates', { csr: await csr() }, web)).status).toBe(200);
    await store.delete(key('namespaces', '', 'shop'));
    expect((await call('/v1/certificates', { csr: await csr() }, web)).status).toBe(403);
    expect((await call('/v1/jwt-svids', { audience: ['a'] }, web)).status).toBe(403);
    await store.create(key('namespaces', '', 'shop'), namespace);
  });

  it('are refused once their account was revoked, until its ServiceAccount is made again', async () => {
    const token = (await call('/v1/join-tokens', account, admin)).body.token!;
    expect((await call('/v1/revocations', account)).status).toBe(401);
    expect((await call('/v1/revocations', account, admin)).status).toBe(200);
    const renewed = await call('/v1/certificates', { csr: await csr() }, web);
    expect([renewed.status, renewed.body.message]).toEqual([
      403,
      expect.stringMatching(/"web" of namespace "shop" was revoked at/),
    ]);
    expect((await call('/v1/certificates', { csr: await csr(), token })).body.message).toContain(
      'join token was revoked',
    );
    expect((await call('/v1/join-tokens', account, admin)).status).toBe(403);
    expect((await call('/v1/certificates', { csr: await csr() }, { peerSpiffeId: id })).status).toBe(200);
    const listed = (await call('/v1/revocations', undefined, admin)).body as unknown as { revocations: object[] };
    expect(listed.revocations).toEqual([expect.objectContaining(account)]);
    const later = new Date(Date.now() + 2000).toISOString();
    const resource = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'web', namespace: 'shop', creationTimestamp: later },
    };
    await store.create(key('serviceaccounts', 'shop', 'web'), resource);
    const created = (await store.get(key('serviceaccounts', 'shop', 'web')))!.metadata.creationTimestamp!;
    // The store may stamp the time itself: then the account is of the second in which it was revoked, or later.
    const allowed = Date.parse(created) >= accounts.list()[0]!.since;
    expect((await call('/v1/certificates', { csr: await csr() }, web)).status).toBe(allowed ? 200 : 403);
  });

  it('may be tokens that are unused', async () => {
    const request = { namespace: 'default', serviceAccount: 'once' };
    const token = (await call('/v1/join-tokens', request, admin)).body.token!;
    const [, tokenId] = token.split('.');
    const list = async () =>
      (
        (await call('/v1/join-tokens?namespace=default', undefined, admin)).body as unknown as {
          tokens: { id: string; state: string }[];
        }
      ).tokens;
    const text = JSON.stringify(await list());
    expect(text).not.toContain(token.split('.')[2]);
    expect((await list()).find((one) => one.id === tokenId)).toMatchObject({ ...request, state: 'unused' });
    expect((await call('/v1/join-tokens')).status).toBe(401);
    expect((await remove(`/v1/join-tokens/${tokenId}`)).body).toMatchObject({ id: tokenId, state: 'revoked' });
    expect((await call('/v1/certificates', { csr: await csr(), token })).body.message).toContain(
      'join token was revoked',
    );
    expect((await remove('/v1/join-tokens/0000000000000000')).status).toBe(404);
    expect((await remove('/v1/join-tokens/..%2f..%2fx')).status).toBe(404);
    const used = await joinToken();
    await call('/v1/certificates', { csr: await csr(), token: used });
    expect((await remove(`/v1/join-tokens/${used.split('.')[1]}`)).status).toBe(409);
  });
});
