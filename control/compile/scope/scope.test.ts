/** What Sidecars take in, which one applies, and what becomes of the rest. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { PROXY_TYPES } from '../node/proxy-types.ts';
import { proxyOf } from './proxy.ts';
import { type Scope, scopeOf } from './scope.ts';
import { sidecarFindings } from './sidecars.ts';

const entry = (namespace: string, host: string, ports: readonly number[] = [80], more: object = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: host, namespace },
  spec: {
    hosts: [host],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
    ports: ports.map((number) => ({ number, name: `p${number}`, protocol: 'HTTP' })),
    ...more,
  },
});
const sidecar = (spec: object, { namespace = 'shop', name = 'default', created = '' } = {}): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name, namespace, ...(created && { creationTimestamp: created }) },
  spec,
});
const routes = (namespace: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'routes', namespace },
  spec,
});
const NODE = {
  id: 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local',
  metadata: { NAMESPACE: 'shop', LABELS: { app: 'a' } },
};
const SERVICES = [
  entry('shop', 'own.example', [80, 81]),
  entry('stock', 'stock.example', [80, 8080]),
  entry('stock', 'depot.example'),
  entry('bank', 'bank.example'),
];

function placeOf(...resources: Resource[]) {
  const view = buildView(resources, 1);
  const proxy = proxyOf(view, NODE, PROXY_TYPES);
  return { view, proxy, scope: scopeOf(view, proxy) };
}
const reached = ({ services }: Pick<Scope, 'services'>) =>
  services.list.map(({ hostname, ports }) => `${hostname}:${ports.map(({ number }) => number).join(',')}`);
const takenIn = (...hosts: string[]) =>
  reached(placeOf(...SERVICES, sidecar({ egress: [{ hosts }] })).scope).map((text) => text.slice(0, text.indexOf('.')));

describe('hosts of egress', () => {
  it.each([
    [['*/*'], ['bank', 'depot', 'own', 'stock']],
    [['./*'], ['own']],
    [['stock/*'], ['depot', 'stock']],
    [['*/stock.example'], ['stock']],
    [['*/*.example'], ['bank', 'depot', 'own', 'stock']],
    [['~/*'], []],
    [['*/*', '~/*'], []],
    [
      ['*/*', '~stock/*'],
      ['bank', 'own'],
    ],
    [
      ['*/*', '~stock/depot.example'],
      ['bank', 'own', 'stock'],
    ],
    [
      ['*/*', '~/bank.example'],
      ['depot', 'own', 'stock'],
    ],
    [['stock/stock.example', '~stock/*'], []],
  ])('%j', (hosts, expected) => expect(takenIn(...hosts)).toEqual(expected));

  it('takes in a VirtualService unless all its hosts are taken out', () => {
    const rule = {
      hosts: ['own.example', 'bank.example'],
      http: [{ route: [{ destination: { host: 'own.example' } }] }],
    };
    const count = (...hosts: string[]) =>
      placeOf(...SERVICES, routes('shop', rule), sidecar({ egress: [{ hosts }] })).scope.routes.length;
    expect(count('./*', '~shop/bank.example')).toBe(1);
    expect(count('./*', '~shop/bank.example', '~shop/own.example')).toBe(0);
    expect(count('*/stock.example')).toBe(0);
  });
});

describe('what routes lead to', () => {
  const to = (host: string, port?: number) => ({ destination: { host, ...(port && { port: { number: port } }) } });
  const withRules = (http: object[]) =>
    reached(
      placeOf(...SERVICES, routes('shop', { hosts: ['own.example'], http }), sidecar({ egress: [{ hosts: ['./*'] }] }))
        .scope,
    );

  it('is reached at the ports that the routes name, and is called nowhere else', () => {
    expect(withRules([{ route: [to('stock.example', 8080)] }])).toEqual(['own.example:80,81', 'stock.example:8080']);
    expect(withRules([{ route: [to('stock.example')] }])).toEqual(['own.example:80,81', 'stock.example:80,8080']);
    expect(withRules([{ route: [to('own.example')], mirrors: [to('depot.example', 80)] }])).toContain(
      'depot.example:80',
    );
    expect(withRules([{ route: [to('stock.example', 9999)] }])).toEqual(['own.example:80,81']);
    expect(withRules([{ match: [{ sourceNamespace: 'bank' }], route: [to('bank.example')] }])).toEqual([
      'own.example:80,81',
    ]);
  });

  it('is what is exported alone', () => {
    const hidden = entry('stock', 'hidden.example', [80], { exportTo: ['.'] });
    const rule = routes('shop', { hosts: ['own.example'], http: [{ route: [to('hidden.example')] }] });
    const { scope } = placeOf(...SERVICES, hidden, rule, sidecar({ egress: [{ hosts: ['./*'] }] }));
    expect(reached(scope)).toEqual(['own.example:80,81']);
  });
});

describe('ports of egress', () => {
  it('a listener has the services with its port, and they have the protocol of the listener', () => {
    const { scope } = placeOf(
      ...SERVICES,
      sidecar({
        egress: [{ port: { number: 8080, protocol: 'TCP', name: 'tcp' }, hosts: ['*/*'] }, { hosts: ['./*'] }],
      }),
    );
    expect(scope.egress.map(reached)).toEqual([['stock.example:8080'], ['own.example:80,81']]);
    expect(scope.egress[0]!.services.list[0]!.ports[0]!.protocol).toBe('TCP');
    expect(reached(scope)).toEqual(['own.example:80,81', 'stock.example:8080']);
    // Clusters have the protocol of the service.
    expect(scope.services.byHost.get('stock.example')!.ports[0]!.protocol).toBe('HTTP');
  });
});

describe('the Sidecar that applies', () => {
  const at = (hosts: string, options: object, more: object = {}) =>
    sidecar({ egress: [{ hosts: [hosts] }], ...more }, options);
  const first = { created: '2020-01-01T00:00:00Z' };
  const second = { created: '2021-01-01T00:00:00Z' };

  it('is one that selects the workload, then one of its namespace, then one of the root namespace', () => {
    const root = at('*/bank.example', { namespace: 'istio-system' });
    const own = at('*/stock.example', { name: 'own' });
    const selecting = at('*/own.example', { name: 'selecting' }, { workloadSelector: { labels: { app: 'a' } } });
    const other = at('*/depot.example', { name: 'other' }, { workloadSelector: { labels: { app: 'b' } } });
    const hosts = (...sidecars: Resource[]) => reached(placeOf(...SERVICES, ...sidecars).scope);
    expect(hosts(root)).toEqual(['bank.example:80']);
    expect(hosts(root, own, other)).toEqual(['stock.example:80,8080']);
    expect(hosts(root, own, other, selecting)).toEqual(['own.example:80,81']);
  });

  it('is the oldest of its rank, and the others are reported', () => {
    const one = at('*/own.example', { name: 'one', ...first });
    const two = at('*/bank.example', { name: 'two', ...second });
    const { view, proxy, scope } = placeOf(...SERVICES, two, one);
    expect(reached(scope)).toEqual(['own.example:80,81']);
    expect(sidecarFindings(view, proxy)).toEqual([
      {
        about: expect.objectContaining({ metadata: expect.objectContaining({ name: 'two' }) }),
        reason: 'RuleWithoutEffect',
        message: 'has no effect: the older Sidecar shop/one applies to all workloads without a selector, too',
      },
    ]);
    expect(sidecarFindings(view, { ...proxy, traits: PROXY_TYPES.get('router')! })).toEqual([]);
  });
});

describe('automatic addresses', () => {
  const automatic: Resource = {
    ...entry('shop', 'auto.example'),
    status: {
      addresses: [
        { host: 'auto.example', value: '240.240.0.7' },
        { host: 'auto.example', value: '2001:2::7' },
      ],
    },
  };
  const addressesFor = (metadata: object, ip = '10.0.0.1') => {
    const view = buildView([automatic], 1);
    const node = { id: `sidecar~${ip}~a.shop~shop.svc.cluster.local`, metadata: { NAMESPACE: 'shop', ...metadata } };
    const { services } = scopeOf(view, proxyOf(view, node, PROXY_TYPES));
    return services.list[0]!.addresses;
  };

  it('are those of proxies with DNS capture, in their address families', () => {
    expect(addressesFor({})).toEqual([]);
    expect(addressesFor({ DNS_CAPTURE: 'true' })).toEqual(['240.240.0.7']);
    expect(addressesFor({ DNS_CAPTURE: 'true' }, 'fd00::1')).toEqual(['2001:2::7']);
    const both = { DNS_CAPTURE: 'true', INSTANCE_IPS: '10.0.0.1,fd00::1' };
    expect(addressesFor(both)).toEqual(['240.240.0.7', '2001:2::7']);
  });
});

describe('unknown destinations', () => {
  const policyOf = (outboundTrafficPolicy: object | undefined, mesh = DEFAULT_SETTINGS.outboundTrafficPolicy) => {
    const resources = outboundTrafficPolicy ? [sidecar({ outboundTrafficPolicy })] : [];
    const view = buildView([...SERVICES, ...resources], 1, { ...DEFAULT_SETTINGS, outboundTrafficPolicy: mesh });
    const { requests, connections } = scopeOf(view, proxyOf(view, NODE, PROXY_TYPES)).outboundPolicy;
    return [requests, connections];
  };

  it('are treated as the Sidecar says, else as the mesh says', () => {
    expect(policyOf(undefined)).toEqual(['PassthroughCluster', 'PassthroughCluster']);
    expect(policyOf(undefined, 'REGISTRY_ONLY')).toEqual([undefined, 'BlackHoleCluster']);
    expect(policyOf({ mode: 'ALLOW_ANY' }, 'REGISTRY_ONLY')).toEqual(['PassthroughCluster', 'PassthroughCluster']);
    expect(policyOf({}, 'ALLOW_ANY')).toEqual([undefined, 'BlackHoleCluster']);
    expect(policyOf(undefined, 'ALLOW_ANY_DYNAMIC_DNS')).toEqual(['AllowAnyDynamicDNSCluster', 'PassthroughCluster']);
    expect(policyOf({ mode: 'ALLOW_ANY' }, 'ALLOW_ANY_DYNAMIC_DNS')[0]).toBe('PassthroughCluster');
  });

  it('go to the egress proxy, which has a cluster though no egress host names it', () => {
    const egressProxy = { host: 'stock.example', subset: 'v1', port: { number: 8080 } };
    expect(policyOf({ mode: 'ALLOW_ANY', egressProxy })).toEqual([
      'outbound|8080|v1|stock.example',
      'outbound|8080|v1|stock.example',
    ]);
    const { scope } = placeOf(
      ...SERVICES,
      sidecar({ egress: [{ hosts: ['./*'] }], outboundTrafficPolicy: { mode: 'ALLOW_ANY', egressProxy } }),
    );
    expect(reached(scope)).toEqual(['own.example:80,81', 'stock.example:80,8080']);
  });
});
