import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Node } from '../../../shared/xds/core.ts';
import { SCHEMAS } from '../../../shared/xds/discovery.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import type { MeshView } from '../../mesh/view.ts';
import { generator, sharedList } from '../memo.ts';
import { nodeCompiler } from '../node/node.ts';
import type { PatchSource } from '../node/patch-sources.ts';
import { type CompiledNode, inOneGo } from '../output/compiled-node.ts';
import { findingText } from '../output/finding.ts';
import { produced } from '../output/produced.ts';
import { NO_PATCHES, type Patch, patched, patchFindings } from './patch.ts';

/** Replaces a kind to come: an EnvoyFilter whose `spec.timeout` is set on clusters of `spec.side` of its namespace. */
const patchOf = generator<{ resource: Resource }, Patch>({ resource: true }, ({ resource }) => {
  const { timeout, side } = specOf(resource) as { timeout: string; side: string };
  return {
    owner: resource,
    change: { clusters: (item, origin) => (origin.side === side ? { ...item, connectTimeout: timeout } : item) },
  };
});
const source: PatchSource = (view, { namespace }) => {
  const own = view.resources('EnvoyFilter').filter((item) => namespaceOf(item) === namespace);
  return own.length === 0 ? NO_PATCHES : sharedList(own.map((resource) => patchOf({ resource })));
};

const filter = (namespace: string, timeout: string, side = 'outbound'): Resource => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name: 'timeouts', namespace },
  spec: { timeout, side },
});
const entry = (address: string): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'web', namespace: 'shop' },
  spec: {
    hosts: ['web.example.com'],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address }],
  },
});
const node = (namespace: string, ip: string): Node => ({ id: `sidecar~${ip}~a.${namespace}~x`, metadata: {} });
const CLUSTER = 'outbound|80||web.example.com';

describe('patches', () => {
  it('change what they choose, for the proxies they choose, when the patch or the resource changes', () => {
    const compile = nodeCompiler([source]);
    const index = new MeshIndex();
    const nodes = [node('shop', '10.0.0.1'), node('pay', '10.0.0.2')];
    let compiled: CompiledNode[] = [];
    const run = (view: MeshView) => {
      const before = compiled;
      compiled = nodes.map((its, i) => inOneGo(before[i]?.next?.(view) ?? compile(view, its)));
      return compiled.map(({ sets }, i) => ({
        timeout: (sets.clusters.get(CLUSTER)!.resource as { connectTimeout?: string }).connectTimeout,
        changed: before[i] ? [...sets.clusters.changedSince(before[i].sets.clusters)].includes(CLUSTER) : true,
      }));
    };
    const web = entry('10.0.0.1');
    const apply = (removed: Resource[], added: Resource[], n: number) => index.apply({ removed, added }, n).view;
    expect(run(apply([], [web], 1)).map(({ timeout }) => timeout)).toEqual(['10s', '10s']);

    const first = filter('shop', '3s');
    expect(run(apply([], [first], 2))).toEqual([
      { timeout: '3s', changed: true },
      { timeout: '10s', changed: false },
    ]);
    const second = filter('shop', '4s');
    expect(run(apply([first], [second], 3))).toEqual([
      { timeout: '4s', changed: true },
      { timeout: '10s', changed: false },
    ]);
    expect(run(apply([web], [entry('10.0.0.9')], 4)).map(({ timeout }) => timeout)).toEqual(['4s', '10s']);
    expect(run(apply([second], [], 5))).toEqual([
      { timeout: '10s', changed: true },
      { timeout: '10s', changed: false },
    ]);
    for (const { resource } of compiled.flatMap(({ sets }) => [...sets.clusters.values()]))
      expect(SCHEMAS.clusters.safeParse(resource).success).toBe(true);
  });

  it('choose by origin', () => {
    const view = new MeshIndex().apply(
      { removed: [], added: [entry('10.0.0.1'), filter('shop', '3s', 'inbound')] },
      1,
    ).view;
    const { sets } = inOneGo(nodeCompiler([source])(view, node('shop', '10.0.0.1')));
    const timeoutOf = (name: string) =>
      (sets.clusters.get(name)!.resource as { connectTimeout?: string }).connectTimeout;
    expect(timeoutOf('inbound|80||')).toBe('3s');
    expect(timeoutOf('InboundPassthroughCluster')).toBe('3s');
    expect(timeoutOf(CLUSTER)).toBe('10s');
  });

  it('that remove a resource depending on its content remove it when the content changes', () => {
    const removesLarge: Patch = {
      owner: filter('shop', ''),
      change: {
        endpoints: (item) => (JSON.stringify(item).split('"lbEndpoints"').length > 2 ? undefined : item),
      },
    };
    const patches = sharedList([removesLarge]);
    const compile = nodeCompiler([() => patches]);
    const index = new MeshIndex();
    const two = {
      ...entry('10.0.0.2'),
      spec: { ...specOf(entry('10.0.0.2')), workloadSelector: { labels: { app: 'w' } } },
    };
    const workload = (name: string, locality: string): Resource => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadEntry',
      metadata: { name, namespace: 'shop' },
      spec: { address: `10.0.1.${name}`, labels: { app: 'w' }, locality },
    });
    const first = compile(
      index.apply({ removed: [], added: [two, workload('1', 'r1')] }, 1).view,
      node('pay', '10.0.0.9'),
    );
    const before = inOneGo(first);
    expect(before.sets.endpoints.has(CLUSTER)).toBe(true);
    const other = workload('2', 'r2');
    const larger = inOneGo(before.next!(index.apply({ removed: [], added: [other] }, 2).view)!);
    expect(larger.sets.endpoints.has(CLUSTER)).toBe(false);
    const smaller = inOneGo(larger.next!(index.apply({ removed: [other], added: [] }, 3).view)!);
    expect(smaller.sets.endpoints.has(CLUSTER)).toBe(true);
  });

  it('are left out, by name, when they break the resource or rename it; and can remove it', () => {
    const item = produced('clusters', { name: 'a', connectTimeout: '1s' }, { side: 'outbound' });
    const patch = (name: string, change: () => object | undefined): Patch => ({
      owner: { ...filter('x', ''), metadata: { name, namespace: 'x' } },
      change: { clusters: change as never },
    });
    const reasons = (patches: readonly Patch[]) =>
      patchFindings(patched(item, sharedList(patches)).leftOut).map(findingText);
    const bad = patch('bad', () => ({ name: 'a', connectTimeout: 'soon' }));
    const renames = patch('renames', () => ({ name: 'b' }));
    const throws = patch('throws', () => {
      throw new Error('there is no filter to put it behind');
    });
    const good = patch('good', () => ({ name: 'a', connectTimeout: '2s' }));
    expect(patched(item, sharedList([bad])).resource?.resource).toEqual(item.resource);
    expect(patched(item, sharedList([bad, renames, throws, good])).resource?.resource).toMatchObject({
      connectTimeout: '2s',
    });
    expect(reasons([bad, renames, throws, good])).toEqual([
      expect.stringMatching(/^EnvoyFilter x\/bad: connectTimeout: .*: the patch is left out of a$/),
      'EnvoyFilter x/renames: a patch cannot rename a resource: the patch is left out of a',
      'EnvoyFilter x/throws: there is no filter to put it behind: the patch is left out of a',
    ]);
    expect(patched(item, sharedList([patch('removes', () => undefined)])).resource).toBeUndefined();
  });

  it('that are left out of many resources are one finding for each reason, the same from view to view', () => {
    const breaks: Patch = {
      owner: filter('shop', ''),
      change: {
        clusters: (item) => ({ ...item, connectTimeout: 'soon' as never }),
        listeners: (item) => ({ ...item, name: '' }),
      },
    };
    const patches = sharedList([breaks]);
    const compile = nodeCompiler([() => patches]);
    const index = new MeshIndex();
    const first = inOneGo(
      compile(index.apply({ removed: [], added: [entry('10.0.0.2')] }, 1).view, node('pay', '10.0.0.9')),
    );
    expect(first.errors.map(findingText)).toEqual([
      expect.stringMatching(
        /^EnvoyFilter shop\/timeouts: connectTimeout: .*: the patch is left out of \S+ and others$/,
      ),
      expect.stringMatching(/^EnvoyFilter shop\/timeouts: a patch cannot rename a resource: .* of \S+ and others$/),
    ]);
    expect(first.errors[0]?.about).toBe(breaks.owner);
    const { view } = index.apply({ removed: [], added: [] }, 2);
    expect(inOneGo(compile(view, node('pay', '10.0.0.9'))).errors).toBe(first.errors);
  });
});
