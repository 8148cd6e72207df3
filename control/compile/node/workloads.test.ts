/** Several workloads at one address: what governs each port, and as whom the proxy calls. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { FilterChain } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { proxyOf } from '../scope/proxy.ts';
import { compileWithNotes } from './node.ts';
import { effectiveProxyConfig } from './proxy-config.ts';
import { PROXY_TYPES } from './proxy-types.ts';

const IP = '10.77.0.31';
const SECURITY = new Set(['AuthorizationPolicy', 'PeerAuthentication']);
const resource = (kind: string, name: string, spec: object, metadata: object = {}): Resource => ({
  apiVersion: `${SECURITY.has(kind) ? 'security' : 'networking'}.istio.io/v1`,
  kind,
  metadata: { name, namespace: 'shop', ...metadata },
  spec,
});
const service = (name: string, number: number, protocol = 'HTTP', more: object = {}) =>
  resource('ServiceEntry', name, {
    hosts: [`${name}.shop.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number, name: 'main', protocol }],
    workloadSelector: { labels: { app: name } },
    ...more,
  });
const workload = (app: string, more: object = {}, metadata: object = {}) =>
  resource('WorkloadEntry', `${app}-vm`, { address: IP, serviceAccount: 'orders', labels: { app }, ...more }, metadata);
const inline = (name: string, number: number) =>
  service(name, number, 'HTTP', { workloadSelector: undefined, endpoints: [{ address: IP }] });
const selecting = (app: string | undefined) => (app ? { selector: { matchLabels: { app } } } : {});
const policy = (name: string, app: string | undefined, action = 'ALLOW') =>
  resource('AuthorizationPolicy', name, { ...selecting(app), action, rules: [{}] });
const mtls = (name: string, app: string | undefined, mode: string, ports?: object) =>
  resource('PeerAuthentication', name, { ...selecting(app), mtls: { mode }, ...(ports && { portLevelMtls: ports }) });
const sidecar = (app: string, spec: object) =>
  resource('Sidecar', app, { workloadSelector: { labels: { app } }, ...spec });

interface Options {
  capture?: boolean;
  labels?: Record<string, string>;
  type?: string;
  ip?: string;
}
const nodeOf = ({ capture, labels, type = 'sidecar', ip = IP }: Options) => ({
  id: `${type}~${ip}~vm.shop~shop.svc.cluster.local`,
  metadata: {
    INTERCEPTION_MODE: capture ? 'REDIRECT' : 'NONE',
    SERVICE_ACCOUNT: 'orders',
    ...(labels && { LABELS: labels }),
  },
});
const compile = (resources: Resource[], options: Options = {}) => {
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1, DEFAULT_SETTINGS), nodeOf(options));
  return { ...snapshot, notes };
};

/** The RBAC filters of a chain, HTTP or network, in order: `ALLOW a,b`. */
function rbacOf({ filters = [] }: FilterChain): string[] {
  type Config = { rules?: { action: string; policies: object }; httpFilters?: { name: string; typedConfig: Config }[] };
  return filters.flatMap((filter) => {
    const { httpFilters, ...own } = filter.typedConfig as unknown as Config;
    return [{ name: filter.name, typedConfig: own as Config }, ...(httpFilters ?? [])].flatMap(
      ({ name, typedConfig: { rules } }) => {
        if (!name.endsWith('.rbac') || !rules) return [];
        return [`${rules.action} ${Object.keys(rules.policies).map((id) => /policy\[(.*?)\]/.exec(id)![1])}`];
      },
    );
  });
}
/** Port -> its RBAC filters; all chains of a port must agree. `rest`: what no port chain takes. */
function guards(resources: Resource[], options: Options = {}): Record<string, string[]> {
  const found = new Map<string, Set<string>>();
  for (const { name, address, filterChains = [], trafficDirection } of compile(resources, options).listeners) {
    if (trafficDirection !== 'INBOUND' && options.type !== 'router') continue;
    for (const chain of filterChains) {
      const { destinationPort } = chain.filterChainMatch ?? {};
      if (destinationPort === 15006) continue;
      const own = name === 'virtualInbound' ? (destinationPort ?? 'rest') : address?.socketAddress?.portValue;
      const key = String(own);
      found.set(key, (found.get(key) ?? new Set()).add(JSON.stringify(rbacOf(chain))));
    }
  }
  return Object.fromEntries(
    [...found].map(([port, sets]) => {
      expect({ port, sets: sets.size }).toEqual({ port, sets: 1 });
      return [port, JSON.parse([...sets][0]!) as string[]];
    }),
  );
}
/** `plain`: a chain takes plaintext. */
const takesPlaintext = (resources: Resource[], port: number | 'rest') => {
  const [listener] = compile(resources, { capture: true }).listeners.filter(({ name }) => name === 'virtualInbound');
  const chains = listener!.filterChains!.filter(({ filterChainMatch: { destinationPort } = {} }) =>
    port === 'rest' ? destinationPort === undefined : destinationPort === port,
  );
  expect(chains.length).toBeGreaterThan(0);
  return chains.some(({ filterChainMatch, transportSocket }) => {
    const { transportProtocol = 'any' } = filterChainMatch ?? {};
    return transportProtocol !== 'tls' && !transportSocket;
  });
};

const ORDERS = [service('orders', 9080), workload('orders'), policy('orders', 'orders')];
const REDIS = [service('redis', 6379, 'TCP'), workload('redis')];
const older = (resources: Resource[], year: number) =>
  resources.map((one) => ({ ...one, metadata: { ...one.metadata, creationTimestamp: `${year}-01-01T00:00:00Z` } }));

describe('AuthorizationPolicy where two services share an address', () => {
  it.each([
    ['orders first', [...older(ORDERS, 2024), ...older(REDIS, 2025)]],
    ['redis first', [...older(REDIS, 2024), ...older(ORDERS, 2025)]],
  ])('holds at its own port: %s', (_, resources) => {
    expect(guards(resources)).toEqual({ 9080: ['ALLOW orders'], 6379: [] });
    expect(guards(resources, { capture: true })).toEqual({
      9080: ['ALLOW orders'],
      6379: [],
      rest: ['ALLOW orders'],
    });
  });
  it('of one does not open the port of the other', () => {
    const all = [...ORDERS, ...REDIS, policy('redis', 'redis'), policy('both', undefined, 'DENY')];
    expect(guards(all, { capture: true })).toEqual({
      9080: ['DENY both', 'ALLOW orders'],
      6379: ['DENY both', 'ALLOW redis'],
      rest: ['DENY both', 'ALLOW orders', 'ALLOW redis'],
    });
  });
  it('at a port of both, both must admit', () => {
    const all = [...ORDERS, service('admin', 9080), workload('admin'), policy('admin', 'admin')];
    const denied = [...all, policy('no', 'admin', 'DENY')];
    expect(guards(all)).toEqual({ 9080: ['ALLOW admin', 'ALLOW orders'] });
    expect(guards(denied)).toEqual({ 9080: ['DENY no', 'ALLOW admin', 'ALLOW orders'] });
  });
  it('at a port that only a Sidecar declares, all must admit', () => {
    const ingress = { ingress: [{ port: { number: 7000, name: 'http', protocol: 'HTTP' } }] };
    const all = [...ORDERS, ...REDIS, policy('redis', 'redis'), sidecar('redis', ingress)];
    expect(guards(all)).toEqual({ 7000: ['ALLOW orders', 'ALLOW redis'], 9080: ['ALLOW orders'] });
  });
  it('by targetRef: a ServiceEntry’s holds where that one is served', () => {
    const target = (name: string) =>
      resource('AuthorizationPolicy', name, {
        targetRefs: [{ group: 'networking.istio.io', kind: 'ServiceEntry', name }],
        rules: [{}],
      });
    expect(guards([inline('a', 8001), inline('b', 8002), target('a'), target('b')])).toEqual({
      8001: ['ALLOW a'],
      8002: ['ALLOW b'],
    });
  });
  it('of an entry that no service selects holds at the ports that none serves', () => {
    const all = [...ORDERS, workload('batch'), policy('batch', 'batch')];
    expect(guards(all, { capture: true })).toEqual({ 9080: ['ALLOW orders'], rest: ['ALLOW orders', 'ALLOW batch'] });
    const alone = [workload('batch'), policy('batch', 'batch'), policy('job', 'job')];
    expect(guards(alone, { capture: true })).toEqual({ rest: ['ALLOW batch'] });
    expect(guards(alone, { capture: true, labels: { app: 'job' } })).toEqual({ rest: ['ALLOW batch', 'ALLOW job'] });
  });
  it('is not touched by entries of another namespace at the address', () => {
    const foreign = [service('redis', 6379, 'TCP'), workload('redis'), policy('redis', 'redis')].map((one) => ({
      ...one,
      metadata: { ...one.metadata, namespace: 'other' },
    }));
    expect(guards([...ORDERS, ...foreign], { capture: true })).toEqual({
      9080: ['ALLOW orders'],
      rest: ['ALLOW orders'],
    });
  });
  it('at loopback: workloads of one account are distinguished by LABELS; without LABELS each keeps its own policies', () => {
    const ip = '127.5.0.1';
    const all = [...ORDERS, ...REDIS].map((one) =>
      one.kind === 'WorkloadEntry' ? { ...one, spec: { ...(one.spec as object), address: ip } } : one,
    );
    expect(guards(all, { ip })).toEqual({ 9080: ['ALLOW orders'], 6379: [] });
    expect(guards(all, { ip, labels: { app: 'orders' } })).toEqual({ 9080: ['ALLOW orders'] });
  });
  it('of EndpointSlices: two Services of one Pod never lend each other labels', () => {
    const core = (name: string, number: number) => {
      const metadata = { name, namespace: 'shop' };
      const labels = { app: name, 'kubernetes.io/service-name': name };
      return [
        { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: number, name: 'http' }] } },
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: { ...metadata, labels },
          endpoints: [{ addresses: [IP], targetRef: { kind: 'Pod', name: 'pod' } }],
          ports: [{ name: 'http', port: number }],
        },
      ] as Resource[];
    };
    const all = [...core('orders', 9080), ...core('admin', 9090), policy('orders', 'orders'), policy('v1', undefined)];
    const ofVersion = resource('AuthorizationPolicy', 'v', {
      selector: { matchLabels: { version: 'v1' } },
      rules: [{}],
    });
    expect(guards(all)).toEqual({ 9080: ['ALLOW orders,v1'], 9090: ['ALLOW v1'] });
    // Labels of the Pod that its slice lacks come from LABELS of its proxy.
    expect(guards([...all, ofVersion], { labels: { version: 'v1', app: 'x' } })).toEqual({
      9080: ['ALLOW orders,v,v1'],
      9090: ['ALLOW v,v1'],
    });
  });
  it('at a gateway: each server port has the policies of its workload', () => {
    const gateway = (name: string, app: string, number: number) =>
      resource('Gateway', name, {
        selector: { app },
        servers: [{ port: { number, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
      });
    const all = [
      ...[service('edge', 80), workload('edge'), policy('edge', 'edge'), gateway('edge', 'edge', 80)],
      ...[service('inner', 81), workload('inner'), policy('inner', 'inner'), gateway('inner', 'inner', 81)],
      gateway('more', 'edge', 82),
    ];
    expect(guards(all, { type: 'router' })).toEqual({
      80: ['ALLOW edge'],
      81: ['ALLOW inner'],
      82: ['ALLOW edge', 'ALLOW inner'],
    });
  });
  it('is noted: compile notes name what shares the address', () => {
    const { notes } = compile([...ORDERS, ...REDIS]);
    expect(notes).toContainEqual(
      expect.stringMatching(/^10\.77\.0\.31: shared by WorkloadEntry shop\/orders-vm, WorkloadEntry shop\/redis-vm: /),
    );
    expect(compile(ORDERS).notes.join()).not.toContain('shared by');
  });
});

describe('PeerAuthentication where workloads share an address', () => {
  const shared = [...ORDERS, service('admin', 9080), workload('admin'), ...REDIS];
  const modes = (...more: Resource[]) =>
    ([9080, 6379, 'rest'] as const).map((port) => takesPlaintext([...shared, ...more], port));
  it('one workload’s mode is its own port’s, the strictest a shared port’s', () => {
    expect(modes()).toEqual([true, true, true]);
    expect(modes(mtls('o', 'orders', 'STRICT'))).toEqual([false, true, false]);
    expect(modes(mtls('o', 'orders', 'STRICT'), mtls('a', 'admin', 'DISABLE'))).toEqual([false, true, false]);
    expect(modes(mtls('ns', undefined, 'STRICT'), mtls('r', 'redis', 'DISABLE'))).toEqual([false, true, false]);
  });
  it('also port by port', () => {
    const relaxed = (app: string) => mtls(app, app, 'STRICT', { 9080: { mode: 'PERMISSIVE' } });
    expect(modes(relaxed('orders'))[0]).toBe(true);
    expect(modes(relaxed('orders'), mtls('a', 'admin', 'PERMISSIVE', { 9080: { mode: 'STRICT' } }))[0]).toBe(false);
  });
  it('callers agree: mTLS to a port that one of its workloads wants it for', () => {
    const off = mtls('o', 'orders', 'DISABLE');
    const tls = (...resources: Resource[]) =>
      JSON.stringify(
        compile(resources, { ip: '10.0.0.9' }).endpoints.find(
          ({ clusterName }) => clusterName === 'outbound|9080||orders.shop.svc.cluster.local',
        ),
      ).includes('"tlsMode":"istio"');
    expect(tls(...ORDERS, off)).toBe(false);
    expect(tls(...shared, off)).toBe(true);
    expect(tls(...shared, off, mtls('a', 'admin', 'DISABLE'))).toBe(false);
  });
});

describe('Sidecar where workloads share an address', () => {
  const other = service('other', 7777, 'HTTP', { workloadSelector: undefined });
  const clusters = (...more: Resource[]) =>
    compile([...ORDERS, ...REDIS, other, ...more])
      .clusters.map(({ name }) => name)
      .filter((name) => name.startsWith('outbound|'))
      .map((name) => name.split('|')[3]!.split('.')[0]);
  it('a restriction of one holds, and another’s does not lift it', () => {
    const only = (app: string, ...names: string[]) =>
      sidecar(app, { egress: [{ hosts: names.map((name) => `./${name}.shop.svc.cluster.local`) }] });
    expect(clusters()).toEqual(['redis', 'other', 'orders']);
    expect(clusters(only('orders', 'other', 'redis'))).toEqual(['redis', 'other']);
    expect(clusters(only('orders', 'other', 'redis'), only('redis', 'other', 'orders'))).toEqual(['other']);
  });
  it('REGISTRY_ONLY of one is the proxy’s', () => {
    const mode = (app: string, value: string) => sidecar(app, { outboundTrafficPolicy: { mode: value } });
    const passes = (...more: Resource[]) =>
      JSON.stringify(compile([...ORDERS, ...REDIS, ...more], { capture: true }).routes);
    expect(passes(mode('orders', 'REGISTRY_ONLY'), mode('redis', 'ALLOW_ANY'))).toContain('block_all');
    expect(passes(mode('redis', 'ALLOW_ANY'))).not.toContain('block_all');
  });
});

describe('what the proxy is as a caller', () => {
  const labelsOf = (resources: Resource[], labels?: Record<string, string>) =>
    proxyOf(buildView(resources, 1, DEFAULT_SETTINGS), nodeOf(labels ? { labels } : {}), PROXY_TYPES).labels;
  const two = [
    ...[service('orders', 9080), workload('orders', { labels: { app: 'orders', team: 'a', version: 'v1' } })],
    ...[service('redis', 6379, 'TCP'), workload('redis', { labels: { app: 'redis', team: 'a' } })],
  ];
  it.each([
    [
      'one workload: its labels, whatever LABELS says',
      two.slice(0, 2),
      { app: 'x' },
      { app: 'orders', team: 'a', version: 'v1' },
    ],
    ['no LABELS: what all have', two, undefined, { team: 'a' }],
    ['LABELS of one workload: its labels', two, { app: 'orders' }, { app: 'orders', team: 'a', version: 'v1' }],
    ['LABELS of several: what those have', two, { team: 'a' }, { team: 'a' }],
    ['LABELS of none: LABELS', two, { app: 'x' }, { app: 'x' }],
  ])('%s', (_, resources, labels, wanted) => expect(labelsOf(resources, labels)).toEqual(wanted));

  it('decides on sourceLabels and workloadSelector of a DestinationRule', () => {
    const route = resource('VirtualService', 'r', {
      hosts: ['redis.shop.svc.cluster.local'],
      tcp: [
        { match: [{ sourceLabels: { app: 'orders' } }], route: [{ destination: { host: 'for-orders.example' } }] },
        { route: [{ destination: { host: 'for-all.example' } }] },
      ],
    });
    const rule = resource('DestinationRule', 'd', {
      host: 'orders.shop.svc.cluster.local',
      workloadSelector: { matchLabels: { app: 'orders' } },
      subsets: [{ name: 'mine', labels: {} }],
    });
    const seen = (labels?: Record<string, string>) => {
      const { listeners, clusters } = compile([...two, route, rule], { capture: true, ...(labels && { labels }) });
      return [JSON.stringify(listeners).includes('for-orders'), clusters.some(({ name }) => name.includes('|mine|'))];
    };
    expect(seen()).toEqual([false, false]);
    expect(seen({ app: 'orders' })).toEqual([true, true]);
    expect(seen({ app: 'redis' })).toEqual([false, false]);
  });
  describe.each([
    ['a served WorkloadEntry', [service('redis', 6379, 'TCP'), workload('redis', { serviceAccount: 'redis' })]],
    ['a WorkloadEntry that no service selects', [workload('redis', { serviceAccount: 'redis' })]],
    [
      'an endpoint of a ServiceEntry',
      [
        service('redis', 6379, 'TCP', {
          workloadSelector: undefined,
          endpoints: [{ address: IP, serviceAccount: 'redis', labels: { app: 'redis' } }],
        }),
      ],
    ],
  ])('where a node claims the address of another account: %s', (_, foreign) => {
    it('has its own labels, and nothing that selectors give by the labels of the other', () => {
      expect(labelsOf(foreign)).toEqual({});
      expect(labelsOf(foreign, { team: 'b' })).toEqual({ team: 'b' });
      const target = service('target', 443);
      const rule = resource('DestinationRule', 'd', {
        host: 'target.shop.svc.cluster.local',
        workloadSelector: { matchLabels: { app: 'redis' } },
        trafficPolicy: { tls: { mode: 'MUTUAL', credentialName: 'private' } },
      });
      const secrets = (labels: Record<string, string>) =>
        JSON.stringify(compile([...foreign, target, rule], { labels }).clusters).includes('private');
      expect(secrets({ team: 'b' })).toBe(false);
      expect(secrets({ app: 'redis' })).toBe(true);
      const config = resource('ProxyConfig', 'c', { ...selecting('redis'), concurrency: 3 });
      const view = buildView([...foreign, config], 1, DEFAULT_SETTINGS);
      expect(effectiveProxyConfig(view, proxyOf(view, nodeOf({}), PROXY_TYPES)).concurrency).not.toBe(3);
    });
    it('is guarded by the policies of both', () => {
      const all = [...foreign, policy('redis', 'redis'), policy('own', 'b')];
      expect(guards(all, { capture: true, labels: { app: 'b' } })['rest']).toEqual(['ALLOW redis', 'ALLOW own']);
    });
  });
  it('a ProxyConfig that selects one workload stays in force beside another', () => {
    const config = resource('ProxyConfig', 'c', { ...selecting('orders'), concurrency: 3 });
    const view = buildView([...two, config], 1, DEFAULT_SETTINGS);
    expect(effectiveProxyConfig(view, proxyOf(view, nodeOf({}), PROXY_TYPES)).concurrency).toBe(3);
  });
});
