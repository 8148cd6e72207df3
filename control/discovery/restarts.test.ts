/**
 * A control plane that is stopped and started at random, over a store with little history, and proxies that leave in the
 * midst of a poll, restart with or without what they had: each runs in the end what a fresh compile of the store gives.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { kinds } from '../../shared/resources/index.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { type DeltaDiscoveryRequest, RESOURCE_TYPES, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { nodeCompiler } from '../compile/node/node.ts';
import { inOneGo } from '../compile/output/compiled-node.ts';
import { randomPatches } from '../compile/testing/random-patches.ts';
import { buildView } from '../mesh/build-view.ts';
import { MeshFollower } from '../mesh/follow-store.ts';
import { applied, type Write, writes } from '../mesh/testing/random-writes.ts';
import { memoryStore } from '../store/memory.ts';
import type { ResourceKey, ResourceStore } from '../store/store.ts';
import { DiscoveryService } from './service.ts';

const RUNS = Number(process.env['TULLE_FUZZ_RUNS'] ?? 1) * 10;
const compile = nodeCompiler([randomPatches]);

const node = (type: string, ip: string, namespace: string, labels: object): Node => ({
  id: `${type}~${ip}~x.${namespace}~${namespace}.svc.cluster.local`,
  metadata: { NAMESPACE: namespace, LABELS: labels } as Node['metadata'],
});
const NODES = [
  node('sidecar', '10.0.0.1', 'shop', { app: 'a' }),
  node('sidecar', '10.0.0.2', 'pay', { app: 'b' }),
  node('router', '10.0.0.5', 'istio-system', { istio: 'edge' }),
];

class ControlPlane {
  readonly mesh: MeshFollower;
  readonly discovery: DiscoveryService;

  private constructor(mesh: MeshFollower) {
    this.mesh = mesh;
    this.discovery = new DiscoveryService({ compile, mesh, holdMs: 5 });
  }

  static async start(store: ResourceStore): Promise<ControlPlane> {
    const mesh = new MeshFollower(store, { quietMs: 1, maxMs: 3, retryMs: 1 });
    await mesh.start();
    return new ControlPlane(mesh);
  }

  async stop(): Promise<void> {
    this.discovery.close();
    await this.mesh.stop();
  }
}

/** Speaks the protocol: what it has is acknowledged with the next poll, or claimed on the first. */
class PollingProxy {
  readonly running = new Map<string, Map<string, string>>();
  private readonly node: Node;
  private session: string | undefined;
  private nonces = new Map<string, string>();

  constructor(its: Node) {
    this.node = its;
    this.forget();
  }

  /** A restart without the disk. */
  forget(): void {
    this.reconnect();
    for (const type of RESOURCE_TYPES) this.running.set(TYPE_URLS[type], new Map());
  }

  /** A restart with what was on disk. */
  reconnect(): void {
    this.session = undefined;
    this.nonces.clear();
  }

  /** @returns whether something was sent; undefined: the poll was left, and its answer, if any, was lost */
  async poll(discovery: DiscoveryService, leaves = false): Promise<boolean | undefined> {
    const left = new AbortController();
    const polling = discovery.poll(
      { node: this.node, ...(this.session && { session: this.session }), requests: this.requests() },
      'owner',
      left.signal,
    );
    if (leaves) left.abort();
    const { session, responses } = await polling;
    if (leaves) return undefined;
    if (this.session !== undefined && session !== this.session) {
      // The control plane was restarted, and does not know what this proxy has.
      this.reconnect();
      return true;
    }
    const first = this.session === undefined;
    this.session = session;
    this.nonces.clear();
    for (const { typeUrl, nonce, resources, removedResources } of responses) {
      const held = this.running.get(typeUrl)!;
      for (const { name, version } of resources) held.set(name, version);
      for (const name of removedResources) held.delete(name);
      this.nonces.set(typeUrl, nonce);
    }
    return responses.length > 0 || first;
  }

  private requests(): DeltaDiscoveryRequest[] {
    return RESOURCE_TYPES.map((type) => {
      const typeUrl = TYPE_URLS[type];
      const nonce = this.nonces.get(typeUrl);
      return {
        typeUrl,
        ...(this.session === undefined && {
          resourceNamesSubscribe: ['*'],
          initialResourceVersions: Object.fromEntries(this.running.get(typeUrl)!),
        }),
        ...(nonce !== undefined && { responseNonce: nonce }),
      };
    });
  }
}

function keyOf({ kind, apiVersion, metadata }: Resource): ResourceKey {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
  const plural = kinds.find((each) => each.kind === kind && each.group === group)!.plural;
  return { group, plural, namespace: metadata.namespace ?? '', name: metadata.name };
}

/** Writes to the store what the step changes; several at a time, so that they meet in one debounce. */
async function write(store: ResourceStore, resources: Map<string, Resource>, batch: readonly Write[]): Promise<void> {
  for (const { id, resource } of batch) {
    const { removed } = applied(resources, [{ id, resource }]);
    for (const before of removed)
      if (resource && before.metadata.creationTimestamp === resource.metadata.creationTimestamp)
        await store.update(keyOf(before), resource);
      else await store.delete(keyOf(before));
    if (resource && !(await store.get(keyOf(resource)))) await store.create(keyOf(resource), resource);
  }
}

type Event = 'none' | 'restart' | 'outage' | 'leave' | 'reconnect' | 'forget';
const events = fc.array(fc.constantFrom<Event>('none', 'none', 'restart', 'outage', 'leave', 'reconnect', 'forget'), {
  minLength: 40,
  maxLength: 40,
});

it('leaves every proxy with what a fresh compile gives, whatever stopped in between', async () => {
  await fc.assert(
    fc.asyncProperty(writes, events, fc.integer({ min: 1, max: 4 }), async (all, happening, size) => {
      const store = memoryStore({ historyLimit: 8 });
      const resources = new Map<string, Resource>();
      const proxies = NODES.map((each) => new PollingProxy(each));
      let plane = await ControlPlane.start(store);
      for (let at = 0, i = 0; at < all.length; at += size, i++) {
        const event = happening[i % happening.length];
        if (event === 'outage') await plane.stop();
        await write(store, resources, all.slice(at, at + size));
        if (event === 'restart') await plane.stop();
        if (event === 'restart' || event === 'outage') plane = await ControlPlane.start(store);
        const one = proxies[i % proxies.length]!;
        if (event === 'reconnect') one.reconnect();
        if (event === 'forget') one.forget();
        await Promise.all(proxies.map((proxy) => proxy.poll(plane.discovery, event === 'leave' && proxy === one)));
      }
      while (plane.mesh.current().revision < (await store.revision())) await new Promise((next) => setTimeout(next, 1));
      const { items, revision } = await store.list({});
      const view = buildView(items, revision);
      for (const [i, proxy] of proxies.entries()) {
        while (await proxy.poll(plane.discovery));
        const { sets } = inOneGo(compile(view, NODES[i]!));
        for (const type of RESOURCE_TYPES) {
          const should = new Map([...sets[type].values()].map(({ name, version }) => [name, version]));
          expect(sorted(proxy.running.get(TYPE_URLS[type])!), `${NODES[i]!.id} ${type}`).toEqual(sorted(should));
        }
      }
      await plane.stop();
      await store.close();
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 300_000);

const sorted = (items: ReadonlyMap<string, string>) => [...items].sort(([a], [b]) => (a < b ? -1 : 1));
