/** Endpoints of other networks, as callers of one network are sent them. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { compileNode } from '../node/node.ts';

const resource = (kind: string, name: string, spec: object, labels = {}, apiVersion = 'networking.istio.io/v1') =>
  ({ apiVersion, kind, metadata: { name, namespace: 'default', labels }, spec }) as Resource;
const web = (...endpoints: object[]) =>
  resource('ServiceEntry', 'web', {
    hosts: ['web.test'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints: endpoints.map((one) => ({ serviceAccount: 'web', ...one })),
  });
const gateway = (name: string, labels: object, ...addresses: string[]) =>
  resource(
    'ServiceEntry',
    name,
    {
      hosts: [`${name}.test`],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 15443, name: 'tls', protocol: 'TLS' }],
      endpoints: addresses.map((address) => ({ address })),
    },
    labels,
  );
const networks = (...gateways: object[]) => ({
  ...DEFAULT_SETTINGS,
  networks: { networks: { far: { endpoints: [{ fromCidr: '10.9.0.0/16' }], gateways } } },
});
const node = (type: string, network?: string) => ({
  id: `${type}~10.0.0.1~front.default~default.svc.cluster.local`,
  metadata: { LABELS: { istio: 'eastwest' }, INTERCEPTION_MODE: 'NONE', ...(network && { NETWORK: network }) },
});

/** `address:port weight [mtls]` of one cluster. */
function seen(
  resources: Resource[],
  { network = 'near', settings = DEFAULT_SETTINGS, type = 'sidecar', cluster = 'outbound|80||web.test' } = {},
) {
  const { endpoints } = compileNode(buildView(resources, 1, settings), node(type, network));
  const found = endpoints.find(({ clusterName }) => clusterName === cluster)?.endpoints ?? [];
  return found.flatMap(({ lbEndpoints = [] }) =>
    lbEndpoints.map(({ endpoint, loadBalancingWeight, metadata }) => {
      const { address, portValue } = endpoint?.address?.socketAddress ?? {};
      const secured = metadata?.filterMetadata?.['envoy.transport_socket_match'] ? ' mtls' : '';
      return `${address}:${portValue} ${loadBalancingWeight}${secured}`;
    }),
  );
}

const NEAR = { address: '10.0.1.1', network: 'near' };
const FAR = { address: '10.9.1.1', network: 'far', weight: 3 };

describe('endpoints of another network', () => {
  it('are replaced by the gateways of MeshNetworks, which share their weight', () => {
    const two = networks({ address: '192.0.2.1', port: 15443 }, { address: '192.0.2.2', port: 443 });
    const far = { address: '10.9.1.2', network: 'far' };
    expect(seen([web(NEAR, FAR, far)], { settings: two })).toEqual([
      '10.0.1.1:80 2 mtls',
      '192.0.2.1:15443 4 mtls',
      '192.0.2.2:443 4 mtls',
    ]);
  });

  it('are known by their label and by their address as well', () => {
    const settings = networks({ address: '192.0.2.1', port: 15443 });
    const labelled = { address: '10.1.1.1', labels: { 'topology.istio.io/network': 'far' } };
    expect(seen([web(labelled, { address: '10.9.9.9' })], { settings })).toEqual(['192.0.2.1:15443 2 mtls']);
  });

  it('without mTLS cannot be called: the gateway chooses by SNI', () => {
    const plain = { ...FAR, serviceAccount: '' };
    expect(seen([web(NEAR, plain)], { settings: networks({ address: '192.0.2.1', port: 1 }) })).toEqual([
      '10.0.1.1:80 1 mtls',
    ]);
  });

  it('are called themselves where their network has no gateway, or the caller names no network', () => {
    const both = ['10.0.1.1:80 1 mtls', '10.9.1.1:80 3 mtls'];
    expect(seen([web(NEAR, FAR)])).toEqual(both);
    const settings = networks({ address: '192.0.2.1', port: 1 });
    expect(seen([web(NEAR, FAR)], { settings, network: '' })).toEqual(both);
  });

  it('are reached by a service with the label of their network, at its external or its own addresses', () => {
    const labels = { 'topology.istio.io/network': 'far', 'networking.istio.io/gatewayPort': '15999' };
    const entry = gateway('gw', labels, '192.0.2.7');
    expect(seen([web(FAR), entry])).toEqual(['192.0.2.7:15999 3 mtls']);
    const service = resource(
      'Service',
      'gw2',
      { ports: [{ port: 15443, name: 'tls' }], externalIPs: ['192.0.2.8'] },
      { 'topology.istio.io/network': 'far' },
      'v1',
    );
    expect(seen([web(FAR), service])).toEqual(['192.0.2.8:15443 3 mtls']);
  });

  it('are reached by the service that MeshNetworks names', () => {
    const settings = networks({ registryServiceName: 'gw.test', port: 15444 });
    expect(seen([web(FAR), gateway('gw', {}, '192.0.2.7', '192.0.2.8')], { settings })).toEqual([
      '192.0.2.7:15444 3 mtls',
      '192.0.2.8:15444 3 mtls',
    ]);
  });

  it('are not called by a gateway between networks: it forwards to its own network alone', () => {
    const east = resource('Gateway', 'east', {
      selector: { istio: 'eastwest' },
      servers: [
        { port: { number: 15443, name: 'tls', protocol: 'TLS' }, hosts: ['*.test'], tls: { mode: 'AUTO_PASSTHROUGH' } },
      ],
    });
    const settings = networks({ address: '192.0.2.1', port: 15443 });
    const cluster = 'outbound_.80_._.web.test';
    expect(seen([web(NEAR, FAR), east], { settings, type: 'router', cluster })).toEqual(['10.0.1.1:80 1 mtls']);
  });
});
