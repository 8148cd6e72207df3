import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { servesNothing } from './node-advice.ts';

const resource = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec,
});
const SERVICE = resource('ServiceEntry', 'orders', {
  hosts: ['orders.shop.svc.cluster.local'],
  location: 'MESH_INTERNAL',
  resolution: 'STATIC',
  ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
  workloadSelector: { labels: { app: 'orders' } },
});
const entry = (address: string, app = 'orders') =>
  resource('WorkloadEntry', 'orders-vm', { address, serviceAccount: 'orders', labels: { app } });
const GROUP = resource('WorkloadGroup', 'orders', {
  metadata: { labels: { app: 'orders' } },
  template: { serviceAccount: 'orders' },
});
const advice = (resources: Resource[], ip = '10.0.0.5', type = 'sidecar') =>
  servesNothing(buildView(resources, 1, DEFAULT_SETTINGS), {
    id: `${type}~${ip}~orders.shop~shop.svc.cluster.local`,
    metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'orders', LABELS: { app: 'orders' }, INTERCEPTION_MODE: 'NONE' },
  });

describe('a sidecar that serves nothing', () => {
  it.each<[string, Resource[], string, string]>([
    ['no entry has its address', [SERVICE, entry('10.0.0.6')], '10.0.0.5', 'has its address 10.0.0.5: create one'],
    ['--ip was forgotten', [SERVICE, entry('10.0.0.5')], '127.0.0.1', 'its address 127.0.0.1 (as without --ip) with'],
    ['no entry has its loopback address', [SERVICE, entry('127.0.0.9')], '127.0.0.8', 'its address 127.0.0.8 with'],
    ['there is a WorkloadGroup only', [SERVICE, GROUP], '10.0.0.5', 'create a WorkloadEntry with its address 10.0.0.5'],
    [
      'no service selects it',
      [SERVICE, entry('10.0.0.5', 'x')],
      '10.0.0.5',
      'WorkloadEntry shop/orders-vm has its address',
    ],
    [
      'its entry has another service account',
      [
        SERVICE,
        resource('WorkloadEntry', 'other', { address: '10.0.0.5', serviceAccount: 'x', labels: { app: 'orders' } }),
      ],
      '10.0.0.5',
      'WorkloadEntry shop/other has its address 10.0.0.5 and another service account than orders',
    ],
  ])('is advised: %s', (_why, resources, ip, text) => {
    expect(advice(resources, ip)).toMatch(/^it serves no service of the mesh \(a pure client needs none\): /);
    expect(advice(resources, ip)).toContain(text);
  });

  it('is no gateway, and no sidecar with an entry', () => {
    expect(advice([SERVICE, entry('10.0.0.5')])).toBeUndefined();
    expect(advice([SERVICE], '10.0.0.5', 'router')).toBeUndefined();
    expect(advice([SERVICE], '10.0.0.5', 'unknown')).toBeUndefined();
  });
});
