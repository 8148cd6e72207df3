/** The doors for later kinds, tried from outside: a change of a patch or of a route makes what it concerns, and nothing else. */
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { RESOURCE_TYPES, SCHEMAS } from '../../../shared/xds/discovery.ts';
import type { RouteConfiguration } from '../../../shared/xds/route.ts';
import type { CompiledNode } from '../output/compiled-node.ts';

const { builds } = vi.hoisted(() => ({ builds: [] as string[] }));
// Every generator counts its builds by the file it is declared in.
vi.mock('../memo.ts', async (original) => {
  const memo = await original<typeof import('../memo.ts')>();
  const generator: typeof memo.generator = (reads, build) => {
    const file = /([\w-]+)\.ts/.exec(new Error().stack?.split('\n')[2] ?? '')?.[1] ?? '?';
    return memo.generator(reads, (input) => {
      builds.push(file);
      return build(input);
    });
  };
  return { ...memo, generator };
});
// Test files share their modules: those that were made with other generators are not used here, nor these elsewhere.
vi.resetModules();
afterAll(() => vi.resetModules());
const { MeshIndex } = await import('../../mesh/mesh-index.ts');
const { ROUTE_READERS } = await import('../../mesh/routes/readers.ts');
const { compileWithNotes, nodeCompiler } = await import('../node/node.ts');
const { inOneGo } = await import('../output/compiled-node.ts');
const { digest } = await import('../output/digest.ts');
const { snapshotOf } = await import('../output/snapshot.ts');
const { httpRouteReader } = await import('./http-route.ts');
const { inboundFilters } = await import('./inbound-filter-patch.ts');

const compile = nodeCompiler([inboundFilters]);
const sidecar = (ip: string, namespace: string, app: string): Node => ({
  id: `sidecar~${ip}~${app}.${namespace}~${namespace}.svc.cluster.local`,
  metadata: { NAMESPACE: namespace, LABELS: { app } },
});
const NODES = {
  a: sidecar('10.0.0.1', 'shop', 'a'),
  b: sidecar('10.0.0.2', 'shop', 'b'),
  c: sidecar('10.0.0.3', 'pay', 'c'),
  edge: {
    id: 'router~10.0.0.9~edge.infra~infra.svc.cluster.local',
    metadata: { NAMESPACE: 'infra', LABELS: { istio: 'edge' } },
  },
} satisfies Record<string, Node>;
type Name = keyof typeof NODES;

const made = (kind: string, apiVersion: string, namespace: string, name: string, body: object): Resource => ({
  apiVersion,
  kind,
  metadata: { name, namespace, creationTimestamp: '2026-01-01T00:00:00Z' },
  ...body,
});
const service = (namespace: string, name: string) =>
  made('Service', 'v1', namespace, name, {
    spec: { selector: { app: name }, clusterIP: 'None', ports: [{ port: 80, name: 'http' }] },
  });
const workload = (namespace: string, app: string, address: string) =>
  made('WorkloadEntry', 'networking.istio.io/v1', namespace, app, { spec: { address, labels: { app } } });
const MESH = [
  service('shop', 'a'),
  service('shop', 'b'),
  service('pay', 'c'),
  workload('shop', 'a', '10.0.0.1'),
  workload('shop', 'b', '10.0.0.2'),
  workload('pay', 'c', '10.0.0.3'),
  made('Gateway', 'networking.istio.io/v1', 'infra', 'edge', {
    spec: {
      selector: { istio: 'edge' },
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
    },
  }),
];

const newIndex = () => new MeshIndex({ routeReaders: [...ROUTE_READERS, httpRouteReader()] });

/** A mesh and its proxies, each brought from view to view as the discovery service does. */
class Mesh {
  private readonly index = newIndex();
  private resources = new Set<Resource>();
  private readonly compiled = new Map<Name, CompiledNode>();
  private step = 0;

  /** @returns for each proxy that gets something, the names, and the files whose generators built something for it */
  write(removed: Resource[], added: Resource[]) {
    for (const item of removed) this.resources.delete(item);
    for (const item of added) this.resources.add(item);
    const { view } = this.index.apply({ removed, added }, ++this.step);
    const changed: Partial<Record<Name, { names: string[]; built: Record<string, number> }>> = {};
    for (const [name, node] of Object.entries(NODES) as [Name, Node][]) {
      builds.length = 0;
      const before = this.compiled.get(name);
      const after = inOneGo(before?.next?.(view) ?? compile(view, node));
      this.compiled.set(name, after);
      const built: Record<string, number> = {};
      for (const file of builds) built[file] = (built[file] ?? 0) + 1;
      const names = RESOURCE_TYPES.flatMap((type) =>
        [...(before ? after.sets[type].changedSince(before.sets[type]) : [])].map((each) => `${type} ${each}`),
      );
      if (names.length > 0 || !before) changed[name] = { names, built };
      this.mustEqualFresh(name);
    }
    return changed;
  }

  /** What a proxy runs is what a control plane gives it that has just started. */
  private mustEqualFresh(name: Name): void {
    const { view } = newIndex().apply({ removed: [], added: structuredClone([...this.resources]) }, 1);
    const fresh = snapshotOf(inOneGo(compile(view, NODES[name])).sets);
    const running = this.of(name);
    expect(digest(running)).toBe(digest(fresh));
    for (const type of RESOURCE_TYPES)
      for (const resource of running[type] ?? []) expect(SCHEMAS[type].safeParse(resource).error).toBeUndefined();
  }

  of(name: Name) {
    return snapshotOf(this.compiled.get(name)!.sets);
  }
}

let mesh: Mesh;
beforeEach(() => {
  mesh = new Mesh();
  mesh.write([], MESH);
});

describe('a patch that puts an HTTP filter into the inbound chains of one workload', () => {
  const filter = (emitFilterState: boolean) =>
    made('EnvoyFilter', 'networking.istio.io/v1alpha3', 'shop', 'first', {
      spec: {
        workloadSelector: { labels: { app: 'a' } },
        configPatches: [
          {
            applyTo: 'HTTP_FILTER',
            match: { context: 'SIDECAR_INBOUND' },
            patch: {
              operation: 'INSERT_FIRST',
              value: {
                name: 'first',
                typedConfig: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
                  emitFilterState,
                },
              },
            },
          },
        ],
      },
    });
  /** The first HTTP filter of every inbound chain that has some. */
  const firstFilters = (name: Name) =>
    mesh
      .of(name)
      .listeners.filter(({ trafficDirection }) => trafficDirection === 'INBOUND')
      .flatMap(({ filterChains = [], defaultFilterChain }) => [
        ...filterChains,
        ...(defaultFilterChain ? [defaultFilterChain] : []),
      ])
      .flatMap(({ filters = [] }) => filters)
      .flatMap(({ typedConfig }) =>
        typedConfig && 'httpFilters' in typedConfig ? [typedConfig.httpFilters?.[0]?.name] : [],
      );

  it('is applied there, follows every change, and costs other proxies and other resources nothing', () => {
    const one = filter(true);
    const chains = firstFilters('a').length;
    expect(chains).toBeGreaterThan(1);
    const patchOnly = { names: ['listeners virtualInbound'] };
    const added = mesh.write([], [one]);
    expect(added).toEqual({ a: { ...patchOnly, built: expect.anything() } });
    // The patch itself, the choice of patches for types, the patched listener and its layer.
    expect(Object.keys(added.a!.built).sort()).toEqual(['inbound-filter-patch', 'patch', 'place']);
    expect(firstFilters('a')).toEqual(Array(chains).fill('first'));
    expect(firstFilters('b')).not.toContain('first');

    const other = filter(false);
    const replaced = mesh.write([one], [other]);
    expect(replaced).toEqual({ a: { ...patchOnly, built: expect.anything() } });
    expect(Object.keys(replaced.a!.built).sort()).toEqual(['inbound-filter-patch', 'patch', 'place']);

    // Endpoints elsewhere: nothing is patched again.
    const moved = mesh.write([MESH[5]!], [workload('pay', 'c', '10.0.0.7')]);
    expect(moved.a!.names).toEqual(['endpoints outbound|80||c.pay.svc.cluster.local']);
    expect(moved.a!.built['patch']).toBe(1);
    expect(moved.b).toEqual({ names: moved.a!.names, built: {} });

    const removed = mesh.write([other], []);
    expect(removed).toEqual({ a: { ...patchOnly, built: {} } });
    expect(firstFilters('a')).not.toContain('first');
  });
});

it('a compile with notes goes through the same patches, and names one that is left out', () => {
  const broken = made('EnvoyFilter', 'networking.istio.io/v1alpha3', 'shop', 'first', {
    spec: {
      configPatches: [{ applyTo: 'HTTP_FILTER', patch: { operation: 'INSERT_FIRST', value: { name: 'first' } } }],
    },
  });
  const { view } = new MeshIndex().apply({ removed: [], added: [...MESH, broken] }, 1);
  expect(compileWithNotes(view, NODES.a, [inboundFilters]).notes).toContainEqual(
    expect.stringMatching(/^EnvoyFilter shop\/first: .*: the patch is left out of virtualInbound$/),
  );
  expect(compileWithNotes(view, NODES.c, [inboundFilters]).notes.join()).not.toContain('the patch is left out');
});

describe('an HTTPRoute', () => {
  const route = (parent: object, weight: number, hostnames?: string[]) =>
    made('HTTPRoute', 'gateway.networking.k8s.io/v1', 'shop', 'split', {
      spec: {
        parentRefs: [parent],
        ...(hostnames && { hostnames }),
        rules: [
          { backendRefs: [{ name: 'a', port: 80 }] },
          {
            matches: [
              { path: { type: 'PathPrefix', value: '/v2/' }, headers: [{ name: 'X-Canary', value: 'yes' }] },
              { path: { type: 'Exact', value: '/new' } },
            ],
            backendRefs: [
              { name: 'a', port: 80, weight: 100 - weight },
              { name: 'b', port: 80, weight },
            ],
          },
          { matches: [{ path: { type: 'PathPrefix', value: '/closed' } }] },
        ],
      },
    });
  const hostAt = (name: Name, config: string, host: string) =>
    (mesh.of(name).routes.find((each) => each.name === config) as RouteConfiguration).virtualHosts?.find(
      (each) => each.name === host,
    );
  const clusters = (routes: object[] | undefined) => JSON.stringify(routes).match(/outbound\|80\|\|\w/g);

  it('of a Service is a route of the mesh; its change makes one virtual host, once for proxies of one class', () => {
    const one = route({ kind: 'Service', group: '', name: 'a', port: 80 }, 10);
    const added = mesh.write([], [one]);
    const names = ['routes 80'];
    expect(Object.values(added).map((each) => each.names)).toEqual([names, names, names]);
    const { routes } = hostAt('a', '80', 'a.shop.svc.cluster.local:80')!;
    expect(routes?.map(({ match }) => match)).toMatchObject([
      { path: '/new' },
      { pathSeparatedPrefix: '/closed' },
      { pathSeparatedPrefix: '/v2', headers: [{ name: 'x-canary', stringMatch: { exact: 'yes' } }] },
      { prefix: '/' },
    ]);
    expect(routes?.[1]?.directResponse).toEqual({ status: 500 });
    expect(routes?.[0]?.route?.weightedClusters?.clusters?.map(({ weight }) => weight)).toEqual([90, 10]);

    const other = route({ kind: 'Service', group: '', name: 'a', port: 80 }, 50);
    const replaced = mesh.write([one], [other]);
    expect(Object.keys(replaced)).toEqual(['a', 'b', 'c']);
    // For the first proxy the routes are translated; b is of the same class; c is in another namespace.
    expect(replaced.a!.built['form-routes']).toBeGreaterThan(0);
    expect(replaced.b!.built['form-routes']).toBeUndefined();
    expect(replaced.c!.built['form-routes']).toBeUndefined();
    for (const { built } of Object.values(replaced)) {
      expect(Object.keys(built)).not.toContain('clusters');
      expect(Object.keys(built)).not.toContain('cluster-layers');
      expect(Object.keys(built)).not.toContain('inbound');
    }
    expect(mesh.write([other], [])).toMatchObject({ a: { names }, b: { names }, c: { names } });
  });

  it('of a Gateway is a route of that gateway alone', () => {
    const one = route({ name: 'edge', namespace: 'infra' }, 10, ['web.example.com']);
    const added = mesh.write([], [one]);
    expect(Object.keys(added)).toEqual(['edge']);
    expect(added.edge!.names).toContain('routes http.80');
    const { routes } = hostAt('edge', 'http.80', 'web.example.com:80')!;
    expect(clusters(routes)).toEqual(['a', 'b', 'a', 'b', 'a'].map((app) => `outbound|80||${app}`));
    const replaced = mesh.write([one], [route({ name: 'edge', namespace: 'infra' }, 50, ['web.example.com'])]);
    expect(Object.keys(replaced)).toEqual(['edge']);
    expect(Object.keys(replaced.edge!.built)).not.toContain('clusters');
  });

  it('of a Service that has another one is joined with it; a change of one makes one virtual host', () => {
    const parent = { kind: 'Service', group: '', name: 'a', port: 80 };
    const simple = (name: string, created: string, path: string, backend: string): Resource => ({
      ...made('HTTPRoute', 'gateway.networking.k8s.io/v1', 'shop', name, {
        spec: {
          parentRefs: [parent],
          rules: [
            { matches: [{ path: { type: 'PathPrefix', value: path } }], backendRefs: [{ name: backend, port: 80 }] },
          ],
        },
      }),
      metadata: { name, namespace: 'shop', creationTimestamp: created },
    });
    const one = simple('one', '2026-01-02T00:00:00Z', '/', 'a');
    const two = simple('two', '2026-01-03T00:00:00Z', '/b', 'b');
    mesh.write([], [one]);
    const added = mesh.write([], [two]);
    expect(Object.values(added).map(({ names }) => names)).toEqual([['routes 80'], ['routes 80'], ['routes 80']]);
    const routes = () => hostAt('a', '80', 'a.shop.svc.cluster.local:80')?.routes;
    expect(routes()?.map(({ match, route }) => [match, route?.cluster])).toEqual([
      [{ pathSeparatedPrefix: '/b', caseSensitive: true }, 'outbound|80||b.shop.svc.cluster.local'],
      [{ prefix: '/', caseSensitive: true }, 'outbound|80||a.shop.svc.cluster.local'],
    ]);
    expect(routes()?.map(({ metadata }) => metadata?.filterMetadata?.['istio']?.['config'])).toEqual([
      '/apis/gateway.networking.k8s.io/v1/namespaces/shop/http-route/two',
      '/apis/gateway.networking.k8s.io/v1/namespaces/shop/http-route/one',
    ]);

    // Of two equal matches the older route has it.
    const same = simple('two', '2026-01-01T00:00:00Z', '/', 'b');
    const replaced = mesh.write([two], [same]);
    expect(routes()?.map(({ route }) => route?.cluster)).toEqual(['outbound|80||b.shop.svc.cluster.local']);
    expect(replaced.a!.built['precedence']).toBe(1);
    expect(replaced.b!.built['precedence']).toBeUndefined();
    for (const { built } of Object.values(replaced)) expect(Object.keys(built)).not.toContain('cluster-layers');

    mesh.write([same], []);
    expect(routes()?.map(({ route }) => route?.cluster)).toEqual(['outbound|80||a.shop.svc.cluster.local']);
  });

  it('does not join a VirtualService of the same host: of the two the older one applies to sidecars', () => {
    const younger = made('VirtualService', 'networking.istio.io/v1', 'shop', 'vs', {
      spec: { hosts: ['a'], http: [{ route: [{ destination: { host: 'b' } }] }] },
    });
    younger.metadata.creationTimestamp = '2026-02-01T00:00:00Z';
    const service = { kind: 'Service', group: '', name: 'a', port: 80 };
    const one = route(service, 10);
    mesh.write([], [one, younger]);
    const routes = () => hostAt('a', '80', 'a.shop.svc.cluster.local:80')?.routes;
    expect(routes()).toHaveLength(4);
    mesh.write([one], []);
    expect(routes()?.map(({ route }) => route?.cluster)).toEqual(['outbound|80||b.shop.svc.cluster.local']);
  });
});
