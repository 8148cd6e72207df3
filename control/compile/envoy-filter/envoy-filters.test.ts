import { beforeEach, describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { SCHEMAS, type Snapshot } from '../../../shared/xds/discovery.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import { compileWithNotes } from '../node/node.ts';

const MESH: Resource[] = [
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      hosts: ['web.example.com'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      workloadSelector: { labels: { app: 'web' } },
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name: 'web', namespace: 'shop' },
    spec: { address: '10.0.0.1', labels: { app: 'web' }, serviceAccount: 'web' },
  },
];

interface Patch {
  applyTo: string;
  match?: object;
  patch: { operation: string; value?: object };
}
let patches: Patch[];
let scope: object;
let metadata: Record<string, unknown>;
let userAgentName: string;
beforeEach(() => {
  patches = [];
  scope = {};
  metadata = { ISTIO_VERSION: '1.32.0' };
  userAgentName = 'tulle-node';
});

/** What a sidecar of web runs with an EnvoyFilter of these patches, and what is said of it. */
function compiled(namespace = 'shop'): { snapshot: Snapshot; notes: string[] } {
  const filter: Resource = {
    apiVersion: 'networking.istio.io/v1alpha3',
    kind: 'EnvoyFilter',
    metadata: { name: 'f', namespace },
    spec: { ...scope, configPatches: patches },
  };
  const { view } = new MeshIndex().apply({ removed: [], added: [...MESH, filter] }, 1);
  const node = { id: 'sidecar~10.0.0.1~web.shop~shop.svc.cluster.local', metadata, userAgentName } as Node;
  const { snapshot, notes } = compileWithNotes(view, node);
  return { snapshot, notes: notes.filter((note) => note.startsWith('EnvoyFilter')) };
}

const BUFFER = {
  name: 'limit',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer',
    max_request_bytes: 1024,
  },
};
const HCM = 'envoy.filters.network.http_connection_manager';
const INBOUND = {
  context: 'SIDECAR_INBOUND',
  listener: { filterChain: { filter: { name: HCM, subFilter: { name: 'envoy.filters.http.router' } } } },
};
const beforeRouter = (value: object, match: object = INBOUND): Patch => ({
  applyTo: 'HTTP_FILTER',
  match,
  patch: { operation: 'INSERT_BEFORE', value },
});

// biome-ignore lint/suspicious/noExplicitAny: the test looks into messages of any type
type Any = Record<string, any>;
/** The HTTP filters of the inbound chains that have some, the last but one. */
const beforeRouters = ({ listeners }: Snapshot): Any[] =>
  (listeners as Any[])
    .filter(({ trafficDirection }) => trafficDirection === 'INBOUND')
    .flatMap(({ filterChains = [] }) => filterChains as Any[])
    .flatMap(({ filters }) => filters as Any[])
    .flatMap(({ typedConfig }) => (typedConfig.httpFilters ? [typedConfig.httpFilters.at(-2)] : []));

const isPatched = (snapshot: Snapshot) => beforeRouters(snapshot).every(({ name }) => name === 'limit');

describe('EnvoyFilter', () => {
  it('inserts a filter where it is said, in the canonical form', () => {
    patches = [beforeRouter(BUFFER)];
    const { snapshot, notes } = compiled();
    expect(notes).toEqual([]);
    const found = beforeRouters(snapshot);
    expect(found.length).toBeGreaterThan(0);
    const type = BUFFER.typed_config['@type'];
    for (const one of found)
      expect(one).toEqual({ name: 'limit', typedConfig: { '@type': type, maxRequestBytes: 1024 } });
    for (const listener of snapshot.listeners) expect(SCHEMAS.listeners.safeParse(listener).error).toBeUndefined();
  });

  it.each([
    ['no selector', {}, 'shop', true],
    ['another namespace', {}, 'pay', false],
    ['the root namespace', {}, 'istio-system', true],
    ['labels of the workload', { workloadSelector: { labels: { app: 'web' } } }, 'shop', true],
    ['other labels', { workloadSelector: { labels: { app: 'api' } } }, 'shop', false],
    [
      'its ServiceEntry as target',
      { targetRefs: [{ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'web' }] },
      'shop',
      true,
    ],
    [
      'a gateway as target',
      { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'web' }] },
      'shop',
      false,
    ],
  ])('selects by %s', (_, spec, namespace, expected) => {
    scope = spec;
    patches = [beforeRouter(BUFFER)];
    expect(isPatched(compiled(namespace).snapshot)).toBe(expected);
  });

  it.each([
    [{ proxyVersion: '^1\\.3[0-9].*' }, true],
    [{ proxyVersion: '^1\\.2[0-9].*' }, false],
    [{ metadata: { TIER: 'gold' } }, true],
    [{ metadata: { TIER: 'gold', OTHER: 'x' } }, false],
  ])('matches proxies by %j: %s', (proxy, expected) => {
    metadata['TIER'] = 'gold';
    patches = [beforeRouter(BUFFER, { ...INBOUND, proxy })];
    expect(isPatched(compiled().snapshot)).toBe(expected);
  });

  it('replaces a filter that Tulle does not have by one that refuses, and sends it to Envoy', () => {
    const type = 'type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency';
    patches = [beforeRouter({ name: 'limit', typed_config: { '@type': type } })];
    const tulle = compiled();
    expect(beforeRouters(tulle.snapshot)[0]).toEqual({
      name: 'limit',
      typedConfig: {
        '@type': 'type.googleapis.com/tulle.filters.http.missing.v1.Missing',
        filter: 'limit',
        reason: expect.stringContaining('unsupported type "envoy.extensions.filters.http.adaptive_concurrency.v3'),
      },
    });
    expect(tulle.notes).toEqual([
      expect.stringMatching(
        /^EnvoyFilter shop\/f: spec\.configPatches\[0\]\.patch\.value: typedConfig: unsupported type .*: its requests are refused$/,
      ),
    ]);
    userAgentName = 'envoy';
    const envoy = compiled();
    expect(beforeRouters(envoy.snapshot)[0]).toEqual({ name: 'limit', typedConfig: { '@type': type } });
    expect(envoy.notes).toEqual([]);
  });

  it.each(['tulle-node', 'envoy'])('refuses where the configuration of a filter cannot be read: %s', (agent) => {
    userAgentName = agent;
    patches = [beforeRouter({ ...BUFFER, typed_config: { ...BUFFER.typed_config, max_requests: 1 } })];
    const { snapshot, notes } = compiled();
    expect(notes).toEqual([
      expect.stringMatching(/patch\.value: .*"max_requests" is unknown: its requests are refused$/),
    ]);
    const refusal = agent === 'envoy' ? { rules: { action: 'ALLOW', policies: {} } } : { filter: 'limit' };
    expect(beforeRouters(snapshot)[0]!['typedConfig']).toMatchObject(refusal);
  });

  it('leaves out a filter that observes alone, or is optional', () => {
    const tap = { '@type': 'type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap' };
    const waf = { '@type': 'type.googleapis.com/acme.Waf' };
    patches = [
      beforeRouter({ name: 'limit', typed_config: tap }),
      beforeRouter({ name: 'limit', typed_config: waf, is_optional: true }),
    ];
    const { snapshot, notes } = compiled();
    expect(isPatched(snapshot)).toBe(false);
    expect(notes).toEqual([
      expect.stringMatching(/the filter is left out$/),
      expect.stringMatching(/the filter is left out$/),
    ]);
  });

  it('refuses connections where a network filter is missing', () => {
    const type = 'type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy';
    const match = { context: 'SIDECAR_INBOUND', listener: { filterChain: { filter: { name: HCM } } } };
    patches = [
      {
        applyTo: 'NETWORK_FILTER',
        match,
        patch: { operation: 'INSERT_BEFORE', value: { name: 'r', typed_config: { '@type': type } } },
      },
    ];
    const { snapshot, notes } = compiled();
    expect(JSON.stringify(snapshot.listeners)).toContain('tulle.filters.network.missing.v1.Missing');
    expect(notes).toEqual([expect.stringMatching(/its connections are closed$/)]);
  });

  it('leaves out what puts a filter behind the router', () => {
    patches = [{ applyTo: 'HTTP_FILTER', match: INBOUND, patch: { operation: 'ADD', value: BUFFER } }];
    const { snapshot, notes } = compiled();
    expect(isPatched(snapshot)).toBe(false);
    expect(notes[0]).toMatch(/spec\.configPatches\[0\]: the router must be the last HTTP filter/);
  });

  it('leaves out what adds a filter chain without filters', () => {
    patches = [{ applyTo: 'LISTENER', patch: { operation: 'MERGE', value: { filter_chains: [{ name: 'empty' }] } } }];
    const { snapshot, notes } = compiled();
    expect(JSON.stringify(snapshot.listeners)).not.toContain('"name":"empty"');
    expect(notes[0]).toMatch(/spec\.configPatches\[0\]: filterChains\[\d+\]\.filters: must not be empty/);
  });

  it('takes the configuration of a filter from EXTENSION_CONFIG, and refuses without', () => {
    const { typed_config } = BUFFER;
    const found = {
      name: 'limit',
      config_discovery: { config_source: { ads: {} }, type_urls: [typed_config['@type']] },
    };
    patches = [beforeRouter(found)];
    expect(compiled().notes).toEqual([
      expect.stringContaining('no EXTENSION_CONFIG has the name "limit": its requests are refused'),
    ]);
    patches.push({ applyTo: 'EXTENSION_CONFIG', patch: { operation: 'ADD', value: { name: 'limit', typed_config } } });
    const { snapshot, notes } = compiled();
    expect(notes).toEqual([]);
    expect(beforeRouters(snapshot)[0]!['typedConfig']).toEqual({
      '@type': typed_config['@type'],
      maxRequestBytes: 1024,
    });
  });

  it('adds clusters and listeners once, and keeps what has the name already', () => {
    const cluster = { name: 'extra', type: 'STATIC', connect_timeout: '1s' };
    patches = [
      { applyTo: 'CLUSTER', patch: { operation: 'ADD', value: cluster } },
      { applyTo: 'CLUSTER', patch: { operation: 'ADD', value: { ...cluster, name: 'BlackHoleCluster' } } },
      {
        applyTo: 'CLUSTER',
        match: { cluster: { service: 'web.example.com' } },
        patch: { operation: 'MERGE', value: { connect_timeout: '7s' } },
      },
    ];
    const { snapshot, notes } = compiled();
    const clusters = snapshot.clusters as Any[];
    expect(clusters.filter(({ name }) => name === 'extra')).toEqual([
      { name: 'extra', type: 'STATIC', connectTimeout: '1s' },
    ]);
    expect(clusters.find(({ name }) => name === 'outbound|80||web.example.com')!['connectTimeout']).toBe('7s');
    expect(clusters.find(({ name }) => String(name).startsWith('inbound|80|'))!['connectTimeout']).toBe('7s');
    expect(notes).toEqual([
      'EnvoyFilter shop/f: spec.configPatches[1].patch.value: the proxy has one of the name "BlackHoleCluster": it is not added',
    ]);
  });

  it('removes a cluster with its endpoints', () => {
    const match = { context: 'SIDECAR_OUTBOUND', cluster: { service: 'web.example.com' } };
    patches = [{ applyTo: 'CLUSTER', match, patch: { operation: 'REMOVE' } }];
    const { clusters, endpoints } = compiled().snapshot;
    expect(clusters.map(({ name }) => name)).not.toContain('outbound|80||web.example.com');
    expect(endpoints.map(({ clusterName }) => clusterName)).not.toContain('outbound|80||web.example.com');
  });

  it('merges into what is there, and keeps it where the result cannot be run', () => {
    const match = { context: 'SIDECAR_INBOUND', listener: { filterChain: { filter: { name: HCM } } } };
    const config = {
      '@type': `type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    };
    patches = [
      {
        applyTo: 'NETWORK_FILTER',
        match,
        patch: { operation: 'MERGE', value: { typed_config: { ...config, server_name: 'shop' } } },
      },
      {
        applyTo: 'NETWORK_FILTER',
        match,
        patch: { operation: 'MERGE', value: { typed_config: { ...config, proxy_100_continue: true, hidden: 1 } } },
      },
    ];
    const { snapshot, notes } = compiled();
    expect(JSON.stringify(snapshot.listeners)).toContain('"serverName":"shop"');
    expect(notes).toEqual([expect.stringMatching(/configPatches\[1\].*"hidden" is unknown/)]);
  });
});
