/** The incremental result always equals the whole one: whatever was written, each proxy runs what a fresh compile gives. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { FEATURES, RESOURCE_TYPES } from '../../shared/xds/discovery.ts';
import { inOneGo } from '../compile/node/compiled-node.ts';
import { compileInSlices, nodeCompiler } from '../compile/node/node.ts';
import { digest } from '../compile/output/digest.ts';
import { snapshotOf } from '../compile/output/snapshot.ts';
import { randomPatches } from '../compile/testing/random-patches.ts';
import { buildView } from '../mesh/build-view.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { applied, writes } from '../mesh/testing/random-writes.ts';
import type { MeshView } from '../mesh/view.ts';
import { type Running, SimulatedProxy } from './testing/simulated-proxy.ts';

const RUNS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 30;

const compile = nodeCompiler(randomPatches);

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
NODES.push(...[NODES[1]!, NODES[2]!, NODES[5]!].map((plain) => ({ ...plain, clientFeatures: [...FEATURES] })));

/** What a node may be started with next time: metadata is of a session, not of a node for ever. */
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
function freshView(resources: Iterable<Resource>): MeshView {
  return buildView(structuredClone([...resources]), 1);
}

/** What a node runs by a view. */
function whole(view: MeshView, of: Node) {
  const { sets } = inOneGo(compile(view, of));
  return new Map(
    RESOURCE_TYPES.map((type) => [
      type,
      new Map([...sets[type].values()].map(({ name, version, resource }) => [name, { version, resource }])),
    ]),
  );
}

it('sends each proxy what makes it run what a fresh control plane would give it, and nothing twice', () => {
  fc.assert(
    fc.property(writes, fc.integer({ min: 1, max: 4 }), fc.nat({ max: 9 }), (all, size, restart) => {
      const index = new MeshIndex();
      const resources = new Map<string, Resource>();
      const proxies = NODES.map((its) => new SimulatedProxy(its, compile));
      for (let at = 0; at < all.length; at += size) {
        const { view } = index.apply(applied(resources, all.slice(at, at + size)), at + 1);
        const last = at + size >= all.length;
        const other = freshView(resources.values());
        if (at % 10 === restart)
          for (const [i, proxy] of proxies.entries()) proxy.begin(restarted(NODES[i]!, at % 7 === i ? at : 0));
        for (const [i, proxy] of proxies.entries()) {
          // Some proxies are away for a while.
          if ((at + i) % 3 === 0 && !last) continue;
          proxy.poll(view);
          const should = whole(other, proxy.node);
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
