import { expect, it } from 'vitest';
import type { Node } from '../../../shared/xds/core.ts';
import { targetsOf } from './targets.ts';

const node = (address: string, port: unknown, name = 'web-v1.shop'): Node => ({
  id: `sidecar~${address}~${name}~shop.svc.cluster.local`,
  metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', ENVOY_PROMETHEUS_PORT: port } as Node['metadata'],
  userAgentName: 'tulle-bun',
  userAgentVersion: '0.1.0',
});

it('a proxy that serves metrics is a target, with what it is as labels', () => {
  expect(targetsOf([node('10.0.0.5', 15090), node('fd00::5', 9100)])).toEqual([
    {
      targets: ['10.0.0.5:15090'],
      labels: {
        namespace: 'shop',
        service_account: 'web',
        workload: 'web-v1',
        version: '0.1.0',
        runtime: 'bun',
        node: 'sidecar~10.0.0.5~web-v1.shop~shop.svc.cluster.local',
      },
    },
    expect.objectContaining({ targets: ['[fd00::5]:9100'] }),
  ]);
});

it('two sessions of a proxy are one target', () => {
  expect(targetsOf([node('10.0.0.5', 15090), node('10.0.0.5', 15090)])).toHaveLength(1);
});

it.each([
  ['10.0.0.5', undefined],
  ['10.0.0.5', 0],
  ['10.0.0.5', 65536],
  ['10.0.0.5', 1.5],
  ['10.0.0.5', '15090/admin'],
  ['10.0.0.5', { port: 15090 }],
  ['', 15090],
  ['0.0.0.0', 15090],
  ['::', 15090],
  ['169.254.169.254', 80],
  ['fe80::1', 15090],
  ['224.0.0.1', 15090],
  ['255.255.255.255', 15090],
])('%s with port %j is none', (address, port) => expect(targetsOf([node(address, port)])).toEqual([]));
