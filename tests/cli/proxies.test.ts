/** The commands that show connected proxies, and join tokens that no longer hold. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LoopbackMesh, Part } from '../../deploy/demo/mesh.ts';
import { until } from '../harness.ts';
import { refusal, tulle, tulleCommand } from './command.ts';

const mesh = new LoopbackMesh();
const cli = (...args: string[]) =>
  tulle([...args, '--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile]);
let id = '';

beforeAll(async () => {
  await mesh.startControl();
  await mesh.start({
    name: 'ingress',
    serviceAccount: 'ingress',
    labels: { app: 'ingress' },
    runtime: 'node',
    type: 'router',
  });
}, 60_000);
afterAll(() => mesh.stop(), 30_000);

describe('a connected proxy', () => {
  it('is shown with its state', async () => {
    const row = await until('the proxy to be in sync', async () => {
      const { out } = await cli('proxy-status', '-o', 'json');
      const rows = JSON.parse(out) as { id: string; connected: boolean; types: Record<string, { state: string }> }[];
      return rows.find(({ connected, types }) => connected && types['clusters']?.state === 'SYNCED');
    });
    id = row.id;
    const { out } = await cli('proxy-status');
    expect(out).toMatch(/^NAME .*CLUSTERS .*CONNECTED/);
    expect(out).toContain(id);
  }, 60_000);

  it('is shown with its configuration, without private keys', async () => {
    const clusters = await cli('proxy-config', 'clusters', id);
    expect(clusters).toMatchObject({ code: 0, error: '' });
    expect(clusters.out).toContain('BlackHoleCluster');
    const secrets = await cli('proxy-config', 'secrets', id, '-o', 'json');
    expect(secrets.code).toBe(0);
    expect(secrets.out).not.toContain('PRIVATE KEY');
    expect(JSON.parse((await cli('proxy-config', 'listeners', id, '-o', 'json')).out)).toBeInstanceOf(Array);
  });
});

it('a join token works once: the second proxy is told so', async () => {
  const env = { TULLE_JOIN_TOKEN: await mesh.joinToken('once') };
  const proxy = (name: string) => [
    ...['proxy', '--runtime', 'node', '--control-plane', mesh.url, '--trust-bundle', mesh.trustBundleFile],
    ...['--data', join(mesh.folder, name), '--name', name, '--ip', '127.0.0.1', '--service-account', 'once'],
    ...['--admin-port', '0', '--announce'],
  ];
  const first = new Part('first', tulleCommand(...proxy('first')), env);
  await first.announcement().finally(() => first.stop());
  expect(refusal(await tulle(proxy('second'), { env }), 3)).toMatch(/join token.*(used|once)/i);
}, 60_000);
