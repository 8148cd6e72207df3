/** What zone-aware routing needs: the order of regions, the switch, and the proxies like the caller. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { compileNode } from '../node/node.ts';

const resource = (kind: string, name: string, spec: object, apiVersion = 'networking.istio.io/v1'): Resource =>
  ({ apiVersion, kind, metadata: { name, namespace: 'default' }, spec }) as Resource;
const service = (name: string, endpoints: object[]) =>
  resource('ServiceEntry', name, {
    hosts: [`${name}.test`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints,
  });
const SELF = resource(
  'ProxyConfig',
  'self',
  { environmentVariables: { ISTIO_META_ENABLE_SELF_DISCOVERY: 'true' } },
  'networking.istio.io/v1beta1',
);
const NODE = {
  id: 'sidecar~10.0.0.1~front.default~default.svc.cluster.local',
  locality: { region: 'eu', zone: 'a' },
  metadata: { LABELS: { app: 'front' }, INTERCEPTION_MODE: 'NONE' },
};
const FRONT = service('front', [
  { address: '10.0.0.1', locality: 'eu/a' },
  { address: '10.0.0.2', locality: 'eu/b' },
  { address: '10.0.0.3', locality: 'us/a' },
]);
const WEB = service('web', [
  { address: '10.0.1.1', locality: 'eu/a', labels: { v: '1' } },
  { address: '10.0.1.2', locality: 'eu/b', labels: { v: '2' } },
  { address: '10.0.1.3', locality: 'us/a', labels: { v: '1' } },
  { address: '10.0.1.4', locality: 'as/a', labels: { v: '1' } },
]);
const zoneAware = (setting: object) =>
  resource('DestinationRule', 'web', {
    host: 'web.test',
    trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN', zoneAwareLbSetting: setting } },
  });

function compiled(...resources: Resource[]) {
  const { clusters, endpoints } = compileNode(buildView([FRONT, WEB, ...resources], 1, DEFAULT_SETTINGS), NODE);
  return {
    names: clusters.map(({ name }) => name),
    common: clusters.find(({ name }) => name === 'outbound|80||web.test')?.commonLbConfig,
    /** Priority by address. */
    priorities: (name: string) =>
      Object.fromEntries(
        (endpoints.find(({ clusterName }) => clusterName === name)?.endpoints ?? []).flatMap(
          ({ priority = 0, lbEndpoints = [] }) =>
            lbEndpoints.map(({ endpoint }) => [endpoint?.address?.socketAddress?.address, priority]),
        ),
      ),
  };
}
const WEB_80 = 'outbound|80||web.test';

describe('zoneAwareLbSetting', () => {
  it('puts the endpoints of other regions behind those of the caller´s', () => {
    const { common, priorities } = compiled(zoneAware({ enabled: true }));
    expect(common).toMatchObject({ zoneAwareLbConfig: { routingEnabled: { value: 100 }, minClusterSize: 6 } });
    expect(priorities(WEB_80)).toEqual({ '10.0.1.1': 0, '10.0.1.2': 0, '10.0.1.3': 1, '10.0.1.4': 1 });
  });

  it('fails over to the region that is named, before all others', () => {
    const { priorities } = compiled(zoneAware({ enabled: true, failover: [{ from: 'eu', to: 'us' }] }));
    expect(priorities(WEB_80)).toEqual({ '10.0.1.1': 0, '10.0.1.2': 0, '10.0.1.3': 1, '10.0.1.4': 2 });
  });

  it('orders by labels within a region', () => {
    const { priorities } = compiled(zoneAware({ enabled: true, failoverPriority: ['v=2'] }));
    expect(priorities(WEB_80)).toEqual({ '10.0.1.1': 1, '10.0.1.2': 0, '10.0.1.3': 2, '10.0.1.4': 2 });
  });

  it('has no effect where it is not enabled', () => {
    for (const setting of [{}, { enabled: false }, { minClusterSize: 1 }]) {
      const { common, priorities } = compiled(zoneAware(setting));
      expect(common).not.toHaveProperty('zoneAwareLbConfig');
      expect(new Set(Object.values(priorities(WEB_80)))).toEqual(new Set([0]));
    }
  });
});

describe('a proxy that discovers itself', () => {
  it('is given the proxies of its service in its region', () => {
    const { names, priorities } = compiled(SELF, zoneAware({ enabled: true }));
    expect(names).toContain('local_cluster');
    expect(priorities('local_cluster')).toEqual({ '10.0.0.1': 0, '10.0.0.2': 0 });
  });

  it('divides no cluster by zone without a setting', () => {
    expect(compiled(SELF).common).toMatchObject({ zoneAwareLbConfig: { routingEnabled: { value: 0 } } });
  });

  it('is one that its ProxyConfig says so of', () => {
    expect(compiled(zoneAware({ enabled: true })).names).not.toContain('local_cluster');
  });
});
