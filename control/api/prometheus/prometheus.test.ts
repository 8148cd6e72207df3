import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Hono } from 'hono';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../tests/kit/environment.ts';
import { authenticate } from '../auth.ts';
import type { ApiEnv } from '../caller.ts';
import { prometheusRoutes } from './prometheus.ts';
import { ScrapeToken, scrapeTokenFile } from './scrape-token.ts';

const folder = temporaryFolder();
let count = 0;
let path: string;
let app: Hono<ApiEnv>;
beforeEach(async () => {
  path = join(folder.path, `scrape-${count++}.sha256`);
  app = await served();
});

async function served() {
  const token = new ScrapeToken(await scrapeTokenFile(path));
  const made = new Hono<ApiEnv>();
  made.use('*', authenticate({ isAdmin: (given) => given === 'admin' }));
  const metadata = { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', ENVOY_PROMETHEUS_PORT: 15090 };
  return made.route('/', prometheusRoutes({ nodes: () => [{ id: 'sidecar~10.0.0.5~web.shop~x', metadata }], token }));
}

const call = (method: string, at: string, token?: string, workload?: string) =>
  app.request(
    `/v1/prometheus/${at}`,
    { method, ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }) },
    workload === undefined ? {} : { peerSpiffeId: workload },
  );
const status = async (...request: Parameters<typeof call>) => (await call(...request)).status;
const made = async () => ((await (await call('POST', 'token', 'admin')).json()) as { token: string }).token;
const WORKLOAD = 'spiffe://cluster.local/ns/shop/sa/web';

describe('the targets', () => {
  it('are for the admin and the scrape token', async () => {
    const token = await made();
    for (const each of ['admin', token]) {
      const answer = await call('GET', 'targets', each);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
      expect(await answer.json()).toMatchObject([{ targets: ['10.0.0.5:15090'], labels: { namespace: 'shop' } }]);
    }
  });

  it('and for no others', async () => {
    await made();
    expect(await status('GET', 'targets')).toBe(401);
    expect(await status('GET', 'targets', 'tulle_scrape_wrong')).toBe(401);
    expect(await status('GET', 'targets', undefined, WORKLOAD)).toBe(403);
  });
});

describe('the scrape token', () => {
  it('is of the admin, and makes and revokes no token itself', async () => {
    const token = await made();
    for (const method of ['POST', 'DELETE']) {
      expect(await status(method, 'token')).toBe(401);
      expect(await status(method, 'token', token)).toBe(401);
      expect(await status(method, 'token', undefined, WORKLOAD)).toBe(403);
    }
  });

  it('is replaced by the next one, and revoked', async () => {
    const first = await made();
    const second = await made();
    expect(await status('GET', 'targets', first)).toBe(401);
    expect(await status('GET', 'targets', second)).toBe(200);
    expect(await status('DELETE', 'token', 'admin')).toBe(200);
    expect(await status('GET', 'targets', second)).toBe(401);
    app = await served();
    expect(await status('GET', 'targets', second)).toBe(401);
    expect(await status('DELETE', 'token', 'admin')).toBe(404);
  });

  it('is kept hashed, over restarts', async () => {
    const token = await made();
    expect(await readFile(path, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    app = await served();
    expect(await status('GET', 'targets', token)).toBe(200);
  });

  it('a file without a hash stops the start', async () => {
    await writeFile(path, 'x\n');
    await expect(scrapeTokenFile(path)).rejects.toThrow('does not hold a SHA-256 hash');
  });
});
