import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { afterAll, describe, expect, it } from 'vitest';
import { adminToken, authenticate, fileTokenStore } from './auth.ts';
import type { ApiEnv } from './caller.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-auth-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('the admin token', () => {
  it('is created once, of 256 bits, and stored only as a hash in a file of mode 0600', async () => {
    const path = join(folder, 'admin-token');
    const first = await adminToken(fileTokenStore(path));
    const token = first.created ?? '';
    expect(token).toMatch(/^tulle_[A-Za-z0-9_-]{43}$/);
    expect(readFileSync(path, 'utf8')).not.toContain(token.slice(6));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const second = await adminToken(fileTokenStore(path));
    expect(second.created).toBeUndefined();
    for (const { check } of [first, second]) {
      expect(check(token)).toBe(true);
      expect(check(`${token}x`)).toBe(false);
      expect(check('')).toBe(false);
      expect(check(readFileSync(path, 'utf8').trim())).toBe(false);
    }
  });

  it('a damaged file is an error, never a new token', async () => {
    const path = join(folder, 'damaged');
    writeFileSync(path, 'abc\n');
    await expect(adminToken(fileTokenStore(path))).rejects.toThrow(`${path}: does not hold a SHA-256 hash`);
  });
});

describe('authenticate', () => {
  const app = new Hono<ApiEnv>();
  app.use('*', authenticate({ isAdmin: (token) => token === 'right' }));
  app.get('/', (c) => c.json(c.get('caller')));
  const admin = { kind: 'user', name: 'admin', groups: ['system:masters', 'system:authenticated'] };
  const caller = async (authorization?: string, peerSpiffeId?: string) => {
    const init = authorization === undefined ? {} : { headers: { authorization } };
    return (await app.request('/', init, peerSpiffeId === undefined ? {} : { peerSpiffeId })).json();
  };
  const reviews = 'spiffe://cluster.local/ns/shop/sa/reviews';

  it('knows the admin by token, a workload by certificate, and no other caller', async () => {
    expect(await caller('Bearer right')).toEqual(admin);
    expect(await caller('bearer  right', reviews)).toEqual(admin);
    const workload = {
      kind: 'workload',
      spiffeId: reviews,
      trustDomain: 'cluster.local',
      namespace: 'shop',
      serviceAccount: 'reviews',
    };
    expect(await caller(undefined, reviews)).toEqual(workload);
    const certificate = { notBefore: 1000, notAfter: 2000 };
    const presented = await app.request('/', {}, { peerSpiffeId: reviews, peerCertificate: certificate });
    expect(await presented.json()).toEqual({ ...workload, certificate });
    expect(await caller('Bearer wrong', reviews)).toEqual(workload);
    for (const header of [undefined, 'Bearer wrong', 'Bearer', 'Basic right', 'right', 'Bearer right right'])
      expect(await caller(header)).toEqual({ kind: 'anonymous' });
    for (const id of [
      '',
      'spiffe://cluster.local',
      'spiffe://c/ns/a/sa/b/c',
      'http://c/ns/a/sa/b',
      'spiffe://c/ns//sa/b',
    ])
      expect(await caller(undefined, id)).toEqual({ kind: 'anonymous' });
  });
});
