import { Hono } from 'hono';
import { expect, it } from 'vitest';
import type { ApiEnv } from '../caller.ts';
import { IdentityLimits } from '../server/identity-limits.ts';
import { limitFailedTokens } from './limits.ts';

it.each([
  ['HTTP', () => new Response(null, { status: 401 })],
  ['gRPC', () => new Response(null, { status: 200, headers: { 'grpc-status': '16' } })],
])('limits tokens that fail by %s', async (_, answer) => {
  const limits = new IdentityLimits({ failedTokensPerSecond: 1 }, undefined, () => 0);
  const app = new Hono<ApiEnv>();
  const refused: unknown[] = [];
  app.onError((error) => {
    refused.push(error);
    return new Response(null, { status: 429 });
  });
  app.use(limitFailedTokens(limits, () => false));
  app.post('/call', answer);
  const call = (n: number) =>
    app.request('/call', { method: 'POST', headers: { authorization: `Bearer wrong-${n}` } }, {
      remoteAddress: '10.0.0.1',
    } as ApiEnv['Bindings']);
  const statuses: number[] = [];
  for (let n = 0; n < 60; n++) statuses.push((await call(n)).status);
  expect(statuses[0]).toBe(answer().status);
  expect(statuses.at(-1)).toBe(429);
  expect(refused.length).toBeGreaterThan(0);
});
