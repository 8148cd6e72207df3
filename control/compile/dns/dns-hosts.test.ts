import { describe, expect, it } from 'vitest';
import type { DnsHost } from '../../../shared/dns/dns-host.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { SCHEMAS } from '../../../shared/xds/discovery.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileInSlices, compileNode } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const made = (apiVersion: string, kind: string, name: string, body: object, namespace = 'shop'): Resource =>
  ({
    apiVersion,
    kind,
    metadata: { name, namespace, ...(body as { metadata?: object }).metadata },
    ...body,
  }) as Resource;
const service = (name: string, spec: object, namespace = 'shop') => made('v1', 'Service', name, { spec }, namespace);
const entry = (name: string, spec: object, more: object = {}, namespace = 'shop') =>
  made('networking.istio.io/v1', 'ServiceEntry', name, { spec, ...more }, namespace);
const slice = (name: string, of: string, endpoints: object[]): Resource =>
  ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    ports: [{ name: 'sql', port: 5432 }],
    endpoints,
  }) as unknown as Resource;

const http = [{ number: 80, name: 'http', protocol: 'HTTP' }];
const resources = [
  service('reviews', {
    clusterIP: '10.96.0.1',
    clusterIPs: ['10.96.0.1', 'fd00::1'],
    ports: [{ port: 80, name: 'http' }],
  }),
  service('hidden', { clusterIP: '10.96.0.2', ports: [{ port: 80, name: 'http' }] }, 'other'),
  service('db', { clusterIP: 'None', ports: [{ port: 5432, name: 'sql' }] }),
  service('old', {
    type: 'ExternalName',
    externalName: 'reviews.shop.svc.cluster.local',
    ports: [{ port: 80, name: 'http' }],
  }),
  slice('db-1', 'db', [
    { addresses: ['10.1.0.1'], hostname: 'db-0' },
    { addresses: ['10.1.0.2'], hostname: 'db-1' },
    { addresses: ['10.1.0.3'], conditions: { ready: false } },
  ]),
  entry(
    'api',
    { hosts: ['api.example.com'], resolution: 'DNS', ports: http },
    { status: { addresses: ['240.240.0.7', '2001:2::7'].map((value) => ({ host: 'api.example.com', value })) } },
  ),
  entry('wild', { hosts: ['*.example.org'], addresses: ['10.9.0.1', '10.8.0.0/16'], resolution: 'NONE', ports: http }),
  entry('passing', { hosts: ['passing.example.net'], resolution: 'NONE', ports: http }),
  entry(
    'private',
    { hosts: ['private.example'], addresses: ['10.9.0.9'], resolution: 'NONE', exportTo: ['.'], ports: http },
    {},
    'other',
  ),
];
resources[1]!.metadata.annotations = { 'networking.istio.io/exportTo': '.' };

const node = (type = 'sidecar', features = ['tulle.dns'], metadata: object = {}) => ({
  id: `${type}~10.0.0.1~web.shop~shop.svc.cluster.local`,
  metadata: { NAMESPACE: 'shop', DNS_CAPTURE: 'true', ...metadata },
  clientFeatures: features,
});
const view = (all = resources): MeshView => new MeshIndex().apply({ removed: [], added: all }, 1).view;
const byName = (hosts: readonly DnsHost[] = []) => Object.fromEntries(hosts.map((host) => [host.name, host]));
const sql = { number: 5432, name: 'sql', protocol: 'TCP' };

describe('the names of the mesh', () => {
  it('are those of the hosts that the proxy may call and that have an address', () => {
    const { dnsHosts = [] } = compileNode(view(), node());
    for (const host of dnsHosts) expect(SCHEMAS.dnsHosts.safeParse(host).error?.message).toBeUndefined();
    const ports = [{ number: 80, name: 'http', protocol: 'TCP' }];
    expect(byName(dnsHosts)).toEqual({
      'reviews.shop.svc.cluster.local': {
        name: 'reviews.shop.svc.cluster.local',
        ...{ service: true, addresses: ['10.96.0.1', 'fd00::1'], ports },
      },
      'old.shop.svc.cluster.local': {
        name: 'old.shop.svc.cluster.local',
        ...{ service: true, addresses: ['10.96.0.1', 'fd00::1'], ports },
      },
      'db.shop.svc.cluster.local': {
        name: 'db.shop.svc.cluster.local',
        ...{ service: true, addresses: ['10.1.0.1', '10.1.0.2'], ports: [sql] },
        instances: [
          { hostname: 'db-0', addresses: ['10.1.0.1'] },
          { hostname: 'db-1', addresses: ['10.1.0.2'] },
        ],
      },
      // The automatic address of a family that the proxy has.
      'api.example.com': { name: 'api.example.com', addresses: ['240.240.0.7'], ports },
      '*.example.org': { name: '*.example.org', addresses: ['10.9.0.1'], ports },
    });
  });

  it('are the same for gateways, and for no node without the feature', () => {
    const of = (type: string, features?: string[]) =>
      compileNode(view(), node(type, features))
        .dnsHosts?.map(({ name }) => name)
        .sort();
    expect(of('router')).toEqual(of('sidecar'));
    expect(of('sidecar', ['tulle.virtual-hosts', 'tulle.on-demand', 'tulle.dns'])).toEqual(of('sidecar'));
    expect(of('sidecar', ['tulle.virtual-hosts'])).toBeUndefined();
  });

  it('follow a Sidecar', () => {
    const sidecar = made('networking.istio.io/v1', 'Sidecar', 'default', {
      spec: { egress: [{ hosts: ['./reviews.shop.svc.cluster.local'] }] },
    });
    const { dnsHosts = [] } = compileNode(view([...resources, sidecar]), node());
    expect(dnsHosts.map(({ name }) => name)).toEqual(['reviews.shop.svc.cluster.local']);
  });

  it('have endpoints of the own network alone', () => {
    const apart = entry('apart', {
      hosts: ['apart.example'],
      resolution: 'NONE',
      ports: http,
      workloadSelector: { labels: { app: 'apart' } },
    });
    const workload = (name: string, address: string, network: string) =>
      made('networking.istio.io/v1', 'WorkloadEntry', name, { spec: { address, network, labels: { app: 'apart' } } });
    const all = [apart, workload('a', '10.2.0.1', 'east'), workload('b', '10.2.0.2', 'west')];
    const addresses = (metadata: object) =>
      compileNode(view(all), node('sidecar', ['tulle.dns'], metadata)).dnsHosts?.[0]?.addresses;
    expect(addresses({ NETWORK: 'west' })).toEqual(['10.2.0.2']);
    expect(addresses({})).toEqual(['10.2.0.1', '10.2.0.2']);
  });
});

describe('a change of endpoints', () => {
  const features = ['tulle.virtual-hosts', 'tulle.on-demand', 'tulle.dns'];
  const changed = (index: MeshIndex, from: Resource, to: Resource) =>
    index.apply({ removed: [from], added: [to] }, 2).view;

  it('of a headless service changes its entry alone; of another one, none', () => {
    const index = new MeshIndex();
    const selected = (address: string) =>
      made('networking.istio.io/v1', 'WorkloadEntry', 'w', { spec: { address, labels: { app: 'x' } } });
    const before = selected('10.3.0.1');
    const plain = entry('plain', {
      hosts: ['plain.example'],
      addresses: ['10.9.9.9'],
      resolution: 'STATIC',
      ports: http,
      workloadSelector: { labels: { app: 'x' } },
    });
    const first = inOneGo(
      compileInSlices(
        index.apply({ removed: [], added: [...resources, plain, before] }, 1).view,
        node('sidecar', features),
      ),
    );
    const second = inOneGo(first.next!(changed(index, before, selected('10.3.0.2')))!);
    expect([...second.sets.dnsHosts.changedSince(first.sets.dnsHosts)]).toEqual([]);
    const was = resources[4]!;
    const now = slice('db-1', 'db', [{ addresses: ['10.1.0.9'] }]);
    const third = inOneGo(second.next!(changed(index, was, now))!);
    expect([...third.sets.dnsHosts.changedSince(second.sets.dnsHosts)]).toEqual(['db.shop.svc.cluster.local']);
    const host = third.sets.dnsHosts.get('db.shop.svc.cluster.local')!.resource as DnsHost;
    expect([host.addresses, host.instances]).toEqual([['10.1.0.9'], undefined]);
    const none = inOneGo(third.next!(changed(index, now, slice('db-1', 'db', [])))!);
    expect(none.sets.dnsHosts.has('db.shop.svc.cluster.local')).toBe(false);
  });
});
