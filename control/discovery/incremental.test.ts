/** The incremental result always equals the whole one: whatever was written, each proxy runs what a fresh compile gives. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { FEATURES, RESOURCE_TYPES } from '../../shared/xds/discovery.ts';
import type { IndexedHost } from '../../shared/xds/indexed-host.ts';
import { compileInSlices, nodeCompiler } from '../compile/node/node.ts';
import { type CompiledNode, type Eager, inOneGo } from '../compile/output/compiled-node.ts';
import { digest } from '../compile/output/digest.ts';
import { layerOf, ResourceSet } from '../compile/output/resource-set.ts';
import type { SharedResource } from '../compile/output/shared-resource.ts';
import { snapshotOf } from '../compile/output/snapshot.ts';
import { randomPatches } from '../compile/testing/random-patches.ts';
import { buildView } from '../mesh/build-view.ts';
import type { KeySets } from '../mesh/key-sets.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { applied, writes } from '../mesh/testing/random-writes.ts';
import type { MeshView } from '../mesh/view.ts';
import { type Running, SimulatedProxy } from './testing/simulated-proxy.ts';

const RUNS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 30;

const compile = nodeCompiler([randomPatches]);

const NODES: Node[] = [
  node('sidecar', '10.0.0.1', 'shop', { LABELS: { app: 'a' }, SERVICE_ACCOUNT: 'a' }, 'r1', 'z1'),
  node('sidecar', '10.0.0.2', 'shop', { LABELS: { app: 'b', version: 'v1' } }, 'r1', 'z2'),
  node(
    'sidecar',
    '10.0.0.3',
    'pay',
    { INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080', APP_PORTS: { '80': 8080 } },
    'r2',
  ),
  node('sidecar', '10.0.0.4', 'shop', { INTERCEPTION_MODE: 'NONE', OUTBOUND_BIND: '10.0.0.4' }),
  node('worker', '10.0.0.9', 'pay', { LABELS: { app: 'c' } }),
  node('router', '10.0.0.5', 'istio-system', { LABELS: { istio: 'edge' } }),
  node('router', '10.0.0.6', 'shop', { LABELS: { istio: 'edge', app: 'a' } }, 'r1', 'z1'),
];
const EAGER = FEATURES.filter((feature) => feature !== 'tulle.on-demand');
NODES.push(...[NODES[1]!, NODES[2]!, NODES[5]!].map((plain) => ({ ...plain, clientFeatures: EAGER })));
/** The first of those that fetch on demand. */
const ON_DEMAND = NODES.length;
NODES.push(...[NODES[1]!, NODES[2]!, NODES[3]!].map((plain) => ({ ...plain, clientFeatures: [...FEATURES] })));

/** What a node may be restarted with: metadata belongs to a session, not to a node. */
function restarted(its: Node, times: number): Node {
  const metadata = [
    its.metadata,
    { ...its.metadata, LABELS: { app: 'b', istio: 'edge' }, SERVICE_ACCOUNT: 'b' },
    { ...its.metadata, INTERCEPTION_MODE: 'NONE', INSTANCE_IPS: '10.0.0.5,10.0.0.1' },
    { ...its.metadata, CLUSTER_ID: 'other', STATIC_LABELS: { version: 'v2' } },
  ][times % 4];
  return { ...its, ...(metadata && { metadata }) };
}

function node(type: string, ip: string, namespace: string, metadata: object, region = '', zone = ''): Node {
  return {
    id: `${type}~${ip}~x.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, ...metadata },
    locality: { region, zone },
  } as Node;
}

/** A view that shares nothing with others, as a control plane has it that has just started with these resources. */
function freshView(resources: Iterable<Resource>, keySets: KeySets): MeshView {
  const index = new MeshIndex();
  index.setKeySets(structuredClone(keySets));
  return index.apply({ removed: [], added: structuredClone([...resources]) }, 1).view;
}

/** Keys of issuers as they are fetched, changed and lost, by the step. */
function keySetsAt(step: number): KeySets {
  const of = (id: string, round: number) => (round === 0 ? [] : [[id, KEY_TEXTS[round % 2]!] as const]);
  return new Map([
    ...of('issuer https://one.example', Math.floor(step / 3) % 3),
    ...of('uri https://keys.example/one', Math.floor(step / 5) % 3),
  ]);
}
const KEY_TEXTS = [{ text: '{"keys":[1]}' }, { text: '{"keys":[2]}' }];

/** What a node runs by a view, as far as it is eager or follows from what it wants. */
function whole(view: MeshView, { node: of, wanted }: SimulatedProxy) {
  const compiled = inOneGo(compile(view, of));
  const sets = compiled.eager ? closure(compiled, compiled.eager, wanted) : compiled.sets;
  return new Map(
    RESOURCE_TYPES.map((type) => [
      type,
      new Map([...sets[type].values()].map(({ name, version, resource }) => [name, { version, resource }])),
    ]),
  );
}

/** Written as the rule says it, apart from the product's own. */
function closure({ sets }: CompiledNode, eager: Eager, wanted: SimulatedProxy['wanted']): CompiledNode['sets'] {
  const named = (type: 'virtualHosts' | 'clusters') => new Set([...eager[type], ...wanted[type]]);
  const of = (set: ResourceSet, has: (item: SharedResource) => boolean) =>
    new ResourceSet([...set.all.slice(0, -1), layerOf([...set.last.values()].filter(has))]);
  const virtualHosts = of(sets.virtualHosts, ({ name }) => named('virtualHosts').has(name));
  const text = JSON.stringify([...virtualHosts.values()].map(({ resource }) => resource));
  const isNamed = ({ name }: SharedResource) => named('clusters').has(name) || text.includes(JSON.stringify(name));
  const clusters = of(sets.clusters, isNamed);
  const endpoints = of(sets.endpoints, ({ name }) => clusters.last.has(name));
  return { ...sets, virtualHosts, clusters, endpoints };
}

/** The proxies' applications call other services than before. */
function callOthers(proxies: readonly SimulatedProxy[], at: number): void {
  for (const [i, proxy] of proxies.slice(ON_DEMAND).entries()) {
    const indexed = [...proxy.running.get('hosts')!.values()].map(({ resource }) => resource as IndexedHost);
    const hosts = indexed.flatMap(({ virtualHosts = [] }) => virtualHosts.map(({ name }) => name));
    const { virtualHosts, clusters } = proxy.wanted;
    const pick = (names: readonly string[]) => names.filter((_, n) => (n + at + i) % 3 === 0);
    proxy.want('virtualHosts', [...pick(hosts), `80/nowhere-${at}:80`], pick([...virtualHosts]));
    const tcp = indexed.flatMap(({ name, ports = [] }) => ports.map(({ number }) => `outbound|${number}||${name}`));
    proxy.want('clusters', pick(tcp), pick([...clusters]));
  }
}

it('sends each proxy what makes it run what a fresh control plane would give it, and nothing twice', () => {
  fc.assert(
    fc.property(writes, fc.integer({ min: 1, max: 4 }), fc.nat({ max: 9 }), (all, size, restart) => {
      const index = new MeshIndex();
      const resources = new Map<string, Resource>();
      const proxies = NODES.map((its) => new SimulatedProxy(its, compile));
      for (let at = 0; at < all.length; at += size) {
        index.setKeySets(keySetsAt(at));
        const { view } = index.apply(applied(resources, all.slice(at, at + size)), at + 1);
        const last = at + size >= all.length;
        const other = freshView(resources.values(), keySetsAt(at));
        if (at % 10 === restart)
          for (const [i, proxy] of proxies.entries()) proxy.begin(restarted(NODES[i]!, at % 7 === i ? at : 0));
        callOthers(proxies, at);
        for (const [i, proxy] of proxies.entries()) {
          // Some proxies are away for a while.
          if ((at + i) % 3 === 0 && !last) continue;
          proxy.poll(view);
          const should = whole(other, proxy);
          for (const type of RESOURCE_TYPES) {
            const is = proxy.running.get(type)!;
            expect(versions(is), `${proxy.node.id} ${type}`).toEqual(versions(should.get(type)!));
            if (last) expect(contents(is), `${proxy.node.id} ${type}`).toEqual(contents(should.get(type)!));
          }
          expect(proxy.poll(view), 'nothing is left to say').toBe(0);
        }
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 300_000);

const versions = (items: ReadonlyMap<string, Running>) =>
  [...items].map(([name, { version }]) => `${name} ${version}`).sort();

const contents = (items: ReadonlyMap<string, Running>) =>
  Object.fromEntries([...items].map(([name, { resource }]) => [name, JSON.parse(JSON.stringify(resource))]));

it('gives the same bytes and versions for the same resources, in whatever order they were written', () => {
  fc.assert(
    fc.property(writes, (all) => {
      const resources = new Map<string, Resource>();
      applied(resources, all);
      const list = [...resources.values()];
      for (const its of NODES) {
        const [one, other] = [list, list.toReversed()].map((order) =>
          digest(snapshotOf(inOneGo(compileInSlices(buildView(structuredClone(order), 1), its)).sets)),
        );
        expect(one).toBe(other);
      }
    }),
    { numRuns: RUNS / 5, endOnFailure: true },
  );
}, 120_000);
