import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlPlaneAudience, verifyJwtSvid } from '../../shared/identity/jwt-svid.ts';
import { openJwtSvids } from './jwt-svids.ts';

const id = 'spiffe://td/ns/a/sa/b';
const issuer = 'https://control:8443';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tulle-jwt-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const open = (now = Date.now()) => openJwtSvids({ folder, trustDomain: 'td', issuer, now: () => now });

describe('JWT-SVIDs', () => {
  it('verify only for their audience, trust domain and lifetime', async () => {
    const now = Date.now();
    const { issue, jwks } = await open(now);
    const { token, expires } = await issue(id, ['gateway']);
    expect(expires - now).toBeGreaterThan(298_000);
    expect(expires - now).toBeLessThanOrEqual(300_000);
    const options = { now, trustDomain: 'td', issuer };
    await expect(verifyJwtSvid(token, 'gateway', jwks, options)).resolves.toMatchObject({ spiffeId: id, expires });
    await expect(verifyJwtSvid(token, 'other', jwks, options)).rejects.toMatchObject({ code: 'wrong-audience' });
    await expect(verifyJwtSvid(token, 'gateway', jwks, { ...options, now: expires })).rejects.toMatchObject({
      code: 'expired',
    });
    await expect(verifyJwtSvid(token, 'gateway', jwks, { now, trustDomain: 'x' })).rejects.toMatchObject({
      code: 'wrong-trust-domain',
    });
    await expect(verifyJwtSvid(token, 'gateway', jwks, { now, issuer: 'https://x' })).rejects.toMatchObject({
      code: 'wrong-issuer',
    });
  });

  it('keeps its key 0600 over a restart and publishes only its public half', async () => {
    const { token } = await (await open()).issue(id, ['gateway']);
    const again = await open();
    await expect(verifyJwtSvid(token, 'gateway', again.jwks)).resolves.toMatchObject({ spiffeId: id });
    expect(statSync(join(folder, 'jwt-key.pem')).mode & 0o777).toBe(0o600);
    expect(Object.keys(again.jwks.keys[0]!).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    expect(again.discovery).toMatchObject({ issuer, jwks_uri: `${issuer}/keys` });
  });

  it('names a broken key file', async () => {
    writeFileSync(join(folder, 'jwt-key.pem'), 'garbage');
    await expect(open()).rejects.toThrow(/jwt-key.pem is not an EC P-256 private key/);
  });

  it('refuses other keys, other algorithms, none, and missing claims', async () => {
    const { jwks } = await open();
    const kid = jwks.keys[0]!.kid!;
    const forge = async (alg: string, build: (jwt: SignJWT) => SignJWT = (jwt) => jwt) =>
      build(new SignJWT({ sub: id, aud: 'gateway' }).setProtectedHeader({ alg, kid }).setExpirationTime('5m')).sign(
        alg === 'HS256' ? new TextEncoder().encode(JSON.stringify(jwks)) : (await generateKeyPair(alg)).privateKey,
      );
    await expect(verifyJwtSvid(await forge('ES256'), 'gateway', jwks)).rejects.toMatchObject({ code: 'bad-signature' });
    for (const alg of ['HS256', 'RS256', 'ES384']) {
      await expect(verifyJwtSvid(await forge(alg), 'gateway', jwks)).rejects.toMatchObject({ name: 'JwtSvidError' });
    }
    const none = new UnsecuredJWT({ sub: id, aud: 'gateway' }).setExpirationTime('5m').encode();
    for (const text of [none, '', 'a.b.c', 'x'.repeat(10_000)]) {
      await expect(verifyJwtSvid(text, 'gateway', jwks)).rejects.toMatchObject({ code: 'malformed' });
    }
  });

  it('issues the control plane audience only as the single audience, with a longer lifetime', async () => {
    const now = Date.now();
    const { issue, authenticate } = await open(now);
    const { token, expires } = await issue(id, [controlPlaneAudience]);
    expect(expires - now).toBeGreaterThan(23 * 3_600_000);
    await expect(authenticate(token)).resolves.toMatchObject({ spiffeId: id });
    await expect(issue(id, [controlPlaneAudience, 'gateway'])).rejects.toThrow(/must be the only audience/);
    await expect(authenticate((await issue(id, ['gateway'])).token)).rejects.toMatchObject({ code: 'wrong-audience' });
    await expect(issue(id, [])).rejects.toThrow(/audience/);
    await expect(issue(id, ['gateway'], 7200)).rejects.toThrow(/10 to 3600/);
    await expect(issue('spiffe://x/ns/a/sa/b', ['gateway'])).rejects.toThrow(/trust domain/);
  });
});
