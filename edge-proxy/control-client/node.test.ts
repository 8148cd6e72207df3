import { describe, expect, it } from 'vitest';
import { Node } from '../../shared/xds/core.ts';
import { buildNode, type NodeSettings, outboundAddress } from './node.ts';

const settings: NodeSettings = {
  type: 'sidecar',
  namespace: 'shop',
  serviceAccount: 'web',
  name: 'web-v1',
  ip: '10.0.0.7',
  labels: { app: 'web', version: 'v1' },
  interceptionMode: 'NONE',
  domainSuffix: 'cluster.local',
  locality: 'eu/a',
  version: '0.1.0',
  runtime: 'bun',
  appPorts: { http: 8080 },
  outboundBind: undefined,
  httpProxyPort: 15080,
  answersDns: false,
};

describe('buildNode', () => {
  it("is an xDS Node in Istio's form", () => {
    const node = buildNode(settings);
    expect(Node.parse(node)).toEqual(node);
    expect(node).toEqual({
      id: 'sidecar~10.0.0.7~web-v1.shop~shop.svc.cluster.local',
      cluster: 'web.shop',
      metadata: {
        NAMESPACE: 'shop',
        SERVICE_ACCOUNT: 'web',
        NAME: 'web-v1',
        WORKLOAD_NAME: 'web-v1',
        LABELS: { app: 'web', version: 'v1' },
        INSTANCE_IPS: '10.0.0.7',
        INTERCEPTION_MODE: 'NONE',
        ISTIO_VERSION: '1.32.0',
        APP_PORTS: { http: 8080 },
        OUTBOUND_BIND: outboundAddress('sidecar~10.0.0.7~web-v1.shop~shop.svc.cluster.local'),
        HTTP_PROXY_PORT: 15080,
      },
      locality: { region: 'eu', zone: 'a', subZone: '' },
      userAgentName: 'tulle-bun',
      userAgentVersion: '0.1.0',
    });
  });

  it('binds outbound listeners where the user says; a gateway has none', () => {
    const bind = (change: Partial<NodeSettings>) => buildNode({ ...settings, ...change }).metadata?.['OUTBOUND_BIND'];
    expect(bind({ outboundBind: '127.0.9.9' })).toBe('127.0.9.9');
    expect(bind({ type: 'router' })).toBeUndefined();
  });
});

describe('outboundAddress', () => {
  const id = (n: number) => `sidecar~10.0.0.${n % 250}~web-${n}.shop~shop.svc.cluster.local`;

  it('is a loopback address of the workload’s own, the same each time', () => {
    expect(outboundAddress(id(1))).toBe(outboundAddress(id(1)));
    for (let n = 0; n < 5000; n++) {
      const [first, second, third, last] = outboundAddress(id(n)).split('.').map(Number);
      expect([first, second! >> 6, third! >> 8]).toEqual([127, 1, 0]);
      expect(last! > 0 && last! < 255).toBe(true);
    }
  });

  it('tells the workloads of a host apart', () => {
    const found = new Set(Array.from({ length: 1000 }, (_, n) => outboundAddress(id(n))));
    expect(found.size).toBeGreaterThanOrEqual(998);
  });
});
