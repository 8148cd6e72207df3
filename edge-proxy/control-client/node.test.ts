import { describe, expect, it } from 'vitest';
import { Node } from '../../shared/xds/core.ts';
import { buildNode, type NodeSettings } from './node.ts';

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
        ISTIO_VERSION: '1.28.0',
        APP_PORTS: { http: 8080 },
        HTTP_PROXY_PORT: 15080,
      },
      locality: { region: 'eu', zone: 'a', subZone: '' },
      userAgentName: 'tulle-bun',
      userAgentVersion: '0.1.0',
    });
  });
});
