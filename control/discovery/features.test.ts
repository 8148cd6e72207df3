/** What nodes and control planes of this version, the one before and plain incremental xDS say to each other. */
import { describe, expect, it } from 'vitest';
import { namePages, subscribeRequests } from '../../edge-proxy/control-client/held-resources.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import {
  DiscoveryAnswer,
  DiscoveryPoll,
  FEATURES,
  type Feature,
  RESOURCE_TYPES,
  type Snapshot,
  TYPE_URLS,
} from '../../shared/xds/discovery.ts';
import { bucketOf } from '../../shared/xds/held-digests.ts';
import { compileInSlices } from '../compile/node/node.ts';
import { fixedCompile } from '../compile/testing/fixed-compile.ts';
import { buildView } from '../mesh/build-view.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import { meshChange } from '../mesh/testing/mesh-change.ts';
import type { MeshView } from '../mesh/view.ts';
import { answerChunks, type PollAnswer } from './answer.ts';
import { DiscoveryService } from './service.ts';

const caller = 'spiffe://cluster.local/ns/default/sa/a';
const open = new AbortController().signal;
const node = { id: 'sidecar~10.0.0.1~a.default~x' };
/** On-demand sessions: on-demand.test.ts. */
const EAGER = FEATURES.filter((feature) => feature !== 'tulle.on-demand');
const withFeatures = { ...node, clientFeatures: [...EAGER] };
const name = (i: number) => `outbound|9080||service-${i}.default.svc.cluster.local`;

function plane(count: number) {
  const clusters = new Map<string, string>();
  for (let i = 0; i < count; i++) clusters.set(name(i), '1s');
  const service = new DiscoveryService({
    compile: fixedCompile(
      (): Snapshot => ({
        secrets: [],
        clusters: [...clusters].map(([name, connectTimeout]) => ({ name, connectTimeout })),
        endpoints: [],
        listeners: [{ name: 'l', address: { socketAddress: { address: '127.0.0.1' } } }],
        routes: [],
      }),
    ),
    mesh: { current: () => ({ revision: 1 }) as MeshView, onChange: () => () => {} },
  });
  return { clusters, service };
}

/** An answer as a proxy reads it; a poll as the control plane does. */
const read = (answer: PollAnswer) =>
  DiscoveryAnswer.parse(JSON.parse(Buffer.concat([...answerChunks(answer)]).toString()));
const LIMIT = 1024 * 1024;

/** A node that keeps what it is sent; it says what it holds as the proxy does. */
class Holder {
  readonly held = Object.fromEntries(RESOURCE_TYPES.map((type) => [type, new Map()])) as unknown as Parameters<
    typeof namePages
  >[0];
  readonly bytes: number[] = [];
  received = 0;
  answers = 0;

  async sync(service: DiscoveryService): Promise<void> {
    const poll = async (session: string | undefined, requests: DiscoveryPoll['requests']) => {
      const body = JSON.stringify({ ...(session && { session }), node: withFeatures, requests });
      this.bytes.push(body.length);
      return read(await service.poll(DiscoveryPoll.parse(JSON.parse(body)), caller, open));
    };
    const { session, features } = await poll(undefined, []);
    let answer = await poll(session, await subscribeRequests(this.held, new Set(features as Feature[])));
    if (answer.namesWanted)
      for (const page of namePages(this.held, answer.namesWanted)) {
        expect(answer.namesWanted).toBeDefined();
        answer = await poll(session, page);
      }
    expect(answer.namesWanted).toBeUndefined();
    for (;;) {
      this.take(answer);
      if (!answer.more) break;
      answer = await poll(
        session,
        answer.responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce })),
      );
    }
  }

  private take(answer: DiscoveryAnswer): void {
    this.answers++;
    for (const { typeUrl, resources, removedResources } of answer.responses) {
      const type = RESOURCE_TYPES.find((one) => TYPE_URLS[one] === typeUrl)!;
      this.received += resources?.length ?? 0;
      for (const { name, version } of resources ?? []) this.held[type].set(name, { name, version, resource: {} });
      for (const gone of removedResources ?? []) this.held[type].delete(gone);
    }
  }
}

describe('a node with features', () => {
  it('that holds 10 000 resources reconnects with small polls and is sent what differs', async () => {
    const one = plane(10_000);
    const holder = new Holder();
    await holder.sync(one.service);
    expect([holder.held.clusters.size, holder.received]).toEqual([10_000, 10_001]);
    // 1000 resources an answer; the listener comes with the last.
    expect(holder.answers).toBe(10);
    one.service.close();

    const same = plane(10_000);
    Object.assign(holder, { bytes: [], received: 0, answers: 0 });
    await holder.sync(same.service);
    expect([holder.received, holder.bytes.length]).toEqual([0, 2]);
    expect(Math.max(...holder.bytes)).toBeLessThan(8 * 1024);
    expect(same.service.status()[0]!.types.clusters).toMatchObject({ state: 'SYNCED', resources: 10_000 });
    same.service.close();

    const other = plane(10_001);
    other.clusters.set(name(7), '2s');
    other.clusters.delete(name(8));
    Object.assign(holder, { bytes: [], received: 0, answers: 0 });
    await holder.sync(other.service);
    expect(holder.received).toBe(2);
    expect([holder.held.clusters.has(name(8)), holder.held.clusters.size]).toEqual([false, 10_000]);
    // Three buckets of 64 differ at most.
    expect(new Set([name(7), name(8), name(10_000)].map(bucketOf)).size).toBeLessThanOrEqual(3);
    expect(Math.max(...holder.bytes)).toBeLessThan(64 * 1024);
    other.service.close();
  });

  it('that shares nothing with the mesh any more says all of it in pages, and it is removed', async () => {
    const { service } = plane(1);
    const holder = new Holder();
    for (let i = 0; i < 20_000; i++) {
      const old = `${name(i)}.of.a.mesh.before`;
      holder.held.clusters.set(old, { name: old, version: '0'.repeat(32), resource: {} });
    }
    await holder.sync(service);
    expect([...holder.held.clusters.keys()]).toEqual([name(0)]);
    expect(holder.bytes.length).toBeGreaterThan(5);
    expect(Math.max(...holder.bytes)).toBeLessThan(LIMIT / 2);
    service.close();
  });

  it('receives removals in the last page only', async () => {
    const { service } = plane(1500);
    const holder = new Holder();
    holder.held.clusters.set('gone', { name: 'gone', version: '1', resource: {} });
    const session = read(await service.poll({ node: withFeatures, requests: [] }, caller, open)).session;
    const say = (requests: DiscoveryPoll['requests']) =>
      service.poll({ session, node: withFeatures, requests }, caller, open);
    const wanted = await say(await subscribeRequests(holder.held, new Set(EAGER)));
    expect(wanted.namesWanted).toEqual([{ typeUrl: TYPE_URLS.clusters, buckets: [bucketOf('gone')] }]);
    const first = await say(namePages(holder.held, wanted.namesWanted!)[0]!);
    expect(first).toMatchObject({ more: true, responses: [{ removedResources: [] }] });
    const acks = first.responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce }));
    const last = await say(acks);
    expect(last.more).toBeUndefined();
    expect(last.responses.map((response) => [response.resources.length, response.removedResources])).toEqual([
      [500, ['gone']],
      [1, []],
    ]);
    service.close();
  });

  it('is answered at once when it holds what it should', async () => {
    const one = plane(3);
    const holder = new Holder();
    await holder.sync(one.service);
    const begun = performance.now();
    await holder.sync(one.service);
    expect(performance.now() - begun).toBeLessThan(20_000);
    one.service.close();
  });

  it('may announce what this control plane does not have', async () => {
    const { service } = plane(1);
    const announced = { ...node, clientFeatures: ['tulle.of-tomorrow', 'envoy.lb.does_not_support_overprovisioning'] };
    const answer = read(await service.poll({ node: announced, requests: [] }, caller, open));
    expect(answer).toEqual({ session: expect.any(String), responses: [] });
    service.close();
  });

  it('cannot make the control plane remember names without end', async () => {
    const { service } = plane(1);
    const { session } = await service.poll({ node: withFeatures, requests: [] }, caller, open);
    const page = (from: number) => Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`n${from + i}`, '1']));
    const say = (from: number) =>
      service.poll(
        {
          session,
          node: withFeatures,
          requests: [{ typeUrl: TYPE_URLS.clusters, initialResourceVersions: page(from) }],
        },
        caller,
        AbortSignal.abort(),
      );
    for (let i = 0; i < 4; i++) await say(i * 50_000);
    await expect(say(250_000)).rejects.toMatchObject({
      code: 'limited',
      message: `the limit of ${16 * 1024 * 1024} characters of resource names of one session is reached`,
    });
    expect(service.status()).toEqual([]);
    service.close();
  });

  it('sends again what a proxy holds in a version that is longer than any here', async () => {
    const { service } = plane(1);
    const held = async (version: string) => {
      const initialResourceVersions = { [name(0)]: version, left: version };
      const request = { typeUrl: TYPE_URLS.clusters, resourceNamesSubscribe: ['*'], initialResourceVersions };
      const [sent] = read(await service.poll({ node, requests: [request] }, caller, open)).responses!;
      return sent!;
    };
    const first = await held('v'.repeat(129));
    expect(first.resources!.map((resource) => resource.name)).toEqual([name(0)]);
    expect(first.removedResources).toEqual(['left']);
    expect((await held(first.resources![0]!.version)).resources ?? []).toEqual([]);
    service.close();
  });
});

describe('one VirtualService of many', () => {
  const resource = (kind: string, name: string, spec: object): Resource => ({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name, namespace: 'default' },
    spec,
  });
  const services = Array.from({ length: 50 }, (_, i) => {
    const host = `service-${i}.default.svc.cluster.local`;
    const ports = [{ number: 9080, name: 'http', protocol: 'HTTP' }];
    return resource('ServiceEntry', host, { hosts: [host], location: 'MESH_INTERNAL', resolution: 'DNS', ports });
  });
  const mesh = (timeout: string, revision: number) =>
    buildView(
      [
        ...services,
        ...services.slice(0, 20).map(({ metadata: { name } }, i) =>
          resource('VirtualService', name, {
            hosts: [name],
            http: [{ timeout: i === 3 ? timeout : '1s', route: [{ destination: { host: name } }] }],
          }),
        ),
      ],
      revision,
    );

  it.each([
    ['with virtual hosts apart', true, { [TYPE_URLS.virtualHosts]: ['9080/service-3.default.svc.cluster.local:9080'] }],
    ['plain', false, { [TYPE_URLS.routes]: ['9080'] }],
  ])('sends a node %s what it takes', async (_, features, expected) => {
    let view = mesh('2s', 1);
    const listeners = new Set<MeshListener>();
    const service = new DiscoveryService({
      compile: compileInSlices,
      mesh: {
        current: () => view,
        onChange: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
    });
    const sidecar = {
      id: 'sidecar~10.0.0.1~a.default~default.svc.cluster.local',
      metadata: { INTERCEPTION_MODE: 'NONE' },
      ...(features && { clientFeatures: [...EAGER] }),
    };
    const say = (session: string | undefined, requests: DiscoveryPoll['requests']) =>
      service.poll({ ...(session && { session }), node: sidecar, requests }, caller, open);
    const types = RESOURCE_TYPES.filter((type) => features || type !== 'virtualHosts');
    const { session } = await say(undefined, []);
    const all = await say(
      session,
      types.map((type) => ({ typeUrl: TYPE_URLS[type], resourceNamesSubscribe: ['*'] })),
    );
    const size = [...answerChunks(all)].reduce((sum, { length }) => sum + length, 0);
    const acks = all.responses.map(({ typeUrl, nonce }) => ({ typeUrl, responseNonce: nonce }));
    const held = say(session, acks);
    view = mesh('3s', 2);
    for (const listener of listeners) listener(view, meshChange());
    const changed = await held;
    const sent = changed.responses.map(({ typeUrl, resources }) => [typeUrl, resources.map(({ name }) => name)]);
    expect(Object.fromEntries(sent)).toEqual(expected);
    const bytes = [...answerChunks(changed)].reduce((sum, { length }) => sum + length, 0);
    if (features) expect(bytes).toBeLessThan(size / 50);
    service.close();
  });
});

describe('a node of the version before', () => {
  // As that version sent it and reads it: strictly, without any field of the features.
  const OLD_TYPES = ['secrets', 'clusters', 'endpoints', 'listeners', 'routes'] as const;
  const firstPoll = (versions: Record<string, string>) => ({
    node: {
      id: 'sidecar~10.0.0.1~a.default~x',
      cluster: 'a.default',
      metadata: { NAMESPACE: 'default', SERVICE_ACCOUNT: 'a', INTERCEPTION_MODE: 'NONE' },
      userAgentName: 'tulle-node',
      userAgentVersion: '0.1.0',
    },
    requests: OLD_TYPES.map((type) => ({
      typeUrl: TYPE_URLS[type],
      resourceNamesSubscribe: ['*'],
      initialResourceVersions: type === 'clusters' ? versions : {},
    })),
  });

  it('is answered as before: all in one answer of the fields it knows', async () => {
    const { service } = plane(3000);
    const poll = DiscoveryPoll.parse(firstPoll({ gone: 'x' }));
    const raw = JSON.parse(Buffer.concat([...answerChunks(await service.poll(poll, caller, open))]).toString());
    expect(Object.keys(raw).sort()).toEqual(['responses', 'session']);
    const [clusters, listeners] = raw.responses;
    expect(raw.responses).toHaveLength(2);
    expect(Object.keys(clusters).sort()).toEqual([
      'nonce',
      'removedResources',
      'resources',
      'systemVersionInfo',
      'typeUrl',
    ]);
    expect([clusters.resources.length, clusters.removedResources, listeners.resources.length]).toEqual([
      3000,
      ['gone'],
      1,
    ]);
    service.close();
  });
});
