import { describe, expect, it, vi } from 'vitest';
import type { Cluster } from '../upstream/cluster.ts';
import { type AdminDeps, createAdmin } from './admin.ts';
import { clusterStates } from './clusters.ts';

const cluster = {
  name: 'c',
  limits: { maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4 },
  use: { connections: 5, pending: 6, requests: 7, retries: 8 },
  endpoints: () => [
    { id: '10.0.0.1:80', address: '10.0.0.1', port: 80, hostname: '', locality: '', weight: 1, priority: 0, active: 9 },
  ],
} as unknown as Cluster;

function setup(change: Partial<AdminDeps> = {}) {
  const admin = createAdmin({
    ready: () => true,
    failure: () => undefined,
    draining: () => false,
    metrics: () => 'up 1\n',
    config: () => ({
      clusters: [{ name: 'c' }],
      secrets: [{ name: 's', tlsCertificate: { privateKey: { inlineString: 'PRIVATE' } } }],
    }),
    clusters: () => clusterStates([cluster]),
    listeners: () => [{ name: '0.0.0.0_80', address: '127.0.0.1', port: 8080 }],
    refused: () =>
      new Map([
        ['listeners/0.0.0.0_81', 'the port is\nin use'],
        ['clusters/c', 'no'],
      ]),
    info: { version: '0.1.0', runtime: 'node', nodeId: 'n' },
    taken: { workers: 2, drainMs: 45_000 },
    now: () => 0,
    uptimeMs: () => 2500,
    quit: () => {},
    hotRestart: async () => undefined,
    drainListeners: () => {},
    stats: () => [],
    certificates: () => [],
    setHealthy: () => {},
    ...change,
  });
  return (path: string, method = 'GET') => admin(new Request(`http://x${path}`, { method }));
}

describe('admin', () => {
  it('tells readiness and liveness apart', async () => {
    for (const path of ['/ready', '/healthz/ready']) {
      expect((await setup()(path)).status).toBe(200);
      const starting = await setup({ ready: () => false })(path);
      expect([starting.status, await starting.text()]).toEqual([503, 'PRE_INITIALIZING\n']);
      expect(await (await setup({ draining: () => true })(path)).text()).toBe('DRAINING\n');
    }
    expect((await setup({ ready: () => false })('/live')).status).toBe(200);
    const failed = await setup({ failure: () => 'certificate expired' })('/ready');
    expect([failed.status, await failed.text()]).toEqual([503, 'certificate expired\n']);
  });

  it('serves metrics for Prometheus', async () => {
    for (const path of ['/metrics', '/stats/prometheus']) {
      const answer = await setup()(path);
      expect(answer.headers.get('content-type')).toContain('version=0.0.4');
      expect(await answer.text()).toBe('up 1\n');
    }
  });

  it('dumps config without private keys', async () => {
    const text = await (await setup()('/config_dump')).text();
    expect(text).toContain('[redacted]');
    expect(text).not.toContain('PRIVATE');
    const { configs } = JSON.parse(text) as { configs: { type: string; resources: unknown[] }[] };
    expect(configs.find(({ type }) => type === 'clusters')!.resources).toEqual([{ name: 'c' }]);
  });

  it('lists clusters and listeners as text and JSON', async () => {
    const get = setup();
    expect(await (await get('/clusters')).text()).toContain('c::10.0.0.1:80::rq_active::9\n');
    expect(await (await get('/clusters?format=json')).json()).toMatchObject({
      cluster_statuses: [{ name: 'c', host_statuses: [{ address: { socket_address: { port_value: 80 } } }] }],
    });
    expect(await (await get('/listeners')).text()).toBe(
      '0.0.0.0_80::127.0.0.1:8080\n0.0.0.0_81::refused: the port is in use\n',
    );
    expect(await (await get('/listeners?format=json')).json()).toMatchObject({
      listenerStatuses: [{ name: '0.0.0.0_80' }],
    });
    expect(await (await get('/server_info')).json()).toMatchObject({
      state: 'LIVE',
      uptimeCurrentEpoch: '2s',
      commandLineOptions: { concurrency: 2, drainTime: '45s' },
    });
  });

  it('acts only on POST', async () => {
    const quit = vi.fn();
    const drainListeners = vi.fn();
    const get = setup({ quit, drainListeners });
    expect((await get('/quitquitquit')).status).toBe(405);
    expect((await get('/drain_listeners')).status).toBe(405);
    expect(quit).not.toHaveBeenCalled();
    expect((await get('/quitquitquit', 'POST')).status).toBe(200);
    expect((await get('/drain_listeners?graceful', 'POST')).status).toBe(200);
    expect(quit).toHaveBeenCalledOnce();
    expect(drainListeners).toHaveBeenCalledOnce();
    expect((await get('/nothing')).status).toBe(404);
  });
});
