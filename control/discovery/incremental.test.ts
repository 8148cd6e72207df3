/** The incremental result always equals the whole one: whatever was written, each proxy runs what a fresh compile gives. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { RESOURCE_TYPES, type ResourceType, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { inOneGo } from '../compile/node/compiled-node.ts';
import { compileInSlices } from '../compile/node/node.ts';
import { digest } from '../compile/output/digest.ts';
import { snapshotOf } from '../compile/output/snapshot.ts';
import { buildView } from '../mesh/build-view.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { applied, writes } from '../mesh/testing/random-writes.ts';
import type { MeshView } from '../mesh/view.ts';
import { answerChunks } from './answer.ts';
import { type Response, Session } from './session.ts';

const RUNS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 30;

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

function node(type: string, ip: string, namespace: string, metadata: object, region = '', zone = ''): Node {
  return {
    id: `${type}~${ip}~x.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, ...metadata },
    locality: { region, zone },
  } as Node;
}

/** A proxy that applies what it is sent and acknowledges it. */
class SimulatedProxy {
  readonly running = new Map<ResourceType, Map<string, { version: string; resource: unknown }>>();
  private readonly node: Node;
  private session: Session;

  constructor(its: Node) {
    this.node = its;
    for (const type of RESOURCE_TYPES) this.running.set(type, new Map());
    this.session = this.begin();
  }

  /** As after a restart of the control plane: a new session, in which the proxy says what it has. */
  begin(): Session {
    this.session = new Session('s', 'owner', this.node, 0);
    this.session.take(
      RESOURCE_TYPES.map((type) => ({
        typeUrl: TYPE_URLS[type],
        resourceNamesSubscribe: ['*'],
        initialResourceVersions: Object.fromEntries([...this.of(type)].map(([name, { version }]) => [name, version])),
      })),
    );
    return this.session;
  }

  /** @returns how many resources were sent */
  poll(view: MeshView): number {
    const responses = this.session.collect(inOneGo(compileInSlices(view, this.node)), '1');
    this.take(responses);
    this.session.take(responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce })));
    return responses.reduce(
      (sum, { resources, removedResources }) => sum + resources.length + removedResources.length,
      0,
    );
  }

  private take(responses: readonly Response[]): void {
    const bytes = Buffer.concat([...answerChunks({ session: 's', responses })]);
    const answer = JSON.parse(bytes.toString()) as {
      responses: {
        typeUrl: string;
        resources: { name: string; version: string; resource: object }[];
        removedResources: string[];
      }[];
    };
    for (const { typeUrl, resources, removedResources } of answer.responses) {
      const type = RESOURCE_TYPES.find((item) => TYPE_URLS[item] === typeUrl)!;
      for (const { name, version, resource } of resources) {
        const { '@type': _, ...rest } = resource as Record<string, unknown>;
        expect(this.of(type).get(name)?.version, `${type} ${name} was sent again`).not.toBe(version);
        this.of(type).set(name, { version, resource: rest });
      }
      for (const name of removedResources) expect(this.of(type).delete(name), `${type} ${name} was held`).toBe(true);
    }
  }

  private of(type: ResourceType) {
    return this.running.get(type)!;
  }
}

/** What a node runs by a control plane that has just started with these resources; nothing is shared with others. */
function fresh(resources: readonly Resource[], of: Node) {
  const { sets } = inOneGo(compileInSlices(buildView(structuredClone([...resources]), 1), of));
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
      const proxies = NODES.map((its) => new SimulatedProxy(its));
      for (let at = 0; at < all.length; at += size) {
        const { view } = index.apply(applied(resources, all.slice(at, at + size)), at + 1);
        if (at % 10 === restart) for (const proxy of proxies) proxy.begin();
        for (const [i, proxy] of proxies.entries()) {
          // Some proxies are away for a while.
          if ((at + i) % 3 === 0 && at + size < all.length) continue;
          proxy.poll(view);
          const whole = fresh([...resources.values()], NODES[i]!);
          for (const type of RESOURCE_TYPES)
            expect(sorted(proxy.running.get(type)!), `${NODES[i]!.id} ${type}`).toEqual(sorted(whole.get(type)!));
          expect(proxy.poll(view), 'nothing is left to say').toBe(0);
        }
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 300_000);

const sorted = (items: ReadonlyMap<string, { version: string; resource: unknown }>) =>
  [...items]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, item]) => [name, item.version, JSON.parse(JSON.stringify(item.resource))]);

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
