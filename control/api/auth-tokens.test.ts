import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { JwtSvidError } from '../../shared/identity/jwt-svid.ts';
import { acceptWorkloadTokens, authenticate } from './auth.ts';
import type { ApiEnv } from './caller.ts';

/** `who` returns the caller's kind, with tokens accepted below /v3 only. */
function app(verify: (token: string) => Promise<{ spiffeId: string }>) {
  const api = new Hono<ApiEnv>();
  api.use('*', authenticate({ isAdmin: (token) => token === 'admin' }));
  api.use('/v3/*', acceptWorkloadTokens(verify));
  api.all('*', (c) => c.json(c.get('caller')));
  return async (path: string, token: string, peerSpiffeId?: string) => {
    const env = { peerSpiffeId };
    const response = await api.request(path, { headers: { authorization: `Bearer ${token}` } }, env);
    return response.status === 200 ? ((await response.json()) as { kind: string; spiffeId?: string }) : response.status;
  };
}

const worker = 'spiffe://cluster.local/ns/edge/sa/worker';

describe('workload tokens', () => {
  it('authenticate the workload of their subject, only on the paths that accept them', async () => {
    const who = app(async () => ({ spiffeId: worker }));
    expect(await who('/v3/delta-discovery', 'jwt')).toMatchObject({
      kind: 'workload',
      spiffeId: worker,
      byToken: true,
    });
    expect(await who('/v1/certificates', 'jwt')).toEqual({ kind: 'anonymous' });
  });

  it('that are refused leave the caller anonymous', async () => {
    const who = app(() => Promise.reject(new JwtSvidError('expired', 'token has expired')));
    expect(await who('/v3/delta-discovery', 'jwt')).toEqual({ kind: 'anonymous' });
  });

  it('of a subject that is no workload leave the caller anonymous', async () => {
    const who = app(async () => ({ spiffeId: 'spiffe://cluster.local/other' }));
    expect(await who('/v3/delta-discovery', 'jwt')).toEqual({ kind: 'anonymous' });
  });

  it('do not replace a client certificate, nor the admin', async () => {
    const who = app(() => Promise.reject(new Error('must not be called')));
    const peer = 'spiffe://cluster.local/ns/default/sa/other';
    expect(await who('/v3/x', 'jwt', peer)).toMatchObject({ kind: 'workload', spiffeId: peer });
    expect(await who('/v3/x', 'admin')).toMatchObject({ kind: 'user', name: 'admin' });
  });

  it('an internal error in verification fails the request, the caller is not anonymous', async () => {
    const who = app(() => Promise.reject(new Error('broken')));
    expect(await who('/v3/x', 'jwt')).toBe(500);
  });
});
