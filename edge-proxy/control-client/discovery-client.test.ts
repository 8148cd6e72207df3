import { describe, expect, it, vi } from 'vitest';
import { fixedCompile } from '../../control/compile/testing/fixed-compile.ts';
import { answerChunks } from '../../control/discovery/answer.ts';
import { DiscoveryService } from '../../control/discovery/service.ts';
import type { MeshListener } from '../../control/mesh/follow-store.ts';
import { meshChange } from '../../control/mesh/testing/mesh-change.ts';
import type { MeshView } from '../../control/mesh/view.ts';
import { type DiscoveryPoll, FEATURES, RESOURCE_TYPES, TYPE_URLS } from '../../shared/xds/discovery.ts';
import { bucketOf } from '../../shared/xds/held-digests.ts';
import { Backoff } from './backoff.ts';
import type { ConfigChanges } from './config-target.ts';
import { ControlError, NotConnectedError, type RequestOptions } from './control-client.ts';
import { ControlPlanes } from './control-planes.ts';
import { DiscoveryClient, type DiscoveryClientOptions } from './discovery-client.ts';
import { type CachedConfig, DiskCache } from './disk-cache.ts';

const node = { id: 'sidecar~10.0.0.1~a.default~x' };

/** A control plane in memory, reached without sockets; it can be lost and replaced. */
class Plane {
  clusters = new Map<string, string>([['a', '1s']]);
  /** Names of listeners. */
  served: string[] = [];
  polls: DiscoveryPoll[] = [];
  up = true;
  /** Of the version before features: it refuses a node that announces any, and types that it does not have. */
  before = false;
  private listeners = new Set<MeshListener>();
  private service = this.make();

  private make() {
    return new DiscoveryService({
      compile: fixedCompile(() => ({
        secrets: [],
        clusters: [...this.clusters].map(([name, connectTimeout]) => ({ name, connectTimeout })),
        endpoints: [{ clusterName: 'a' }],
        listeners: this.served.map((name) => ({ name, address: {} })),
        routes: [],
      })),
      mesh: {
        current: () => ({ revision: 1 }) as MeshView,
        onChange: (listener) => {
          this.listeners.add(listener);
          return () => this.listeners.delete(listener);
        },
      },
    });
  }
  set(name: string, value: string | undefined) {
    if (value === undefined) this.clusters.delete(name);
    else this.clusters.set(name, value);
    for (const listener of this.listeners) listener({ revision: 1 } as MeshView, meshChange());
  }
  kill() {
    this.up = false;
    this.service.close();
  }
  restart() {
    this.service.close();
    this.service = this.make();
    this.up = true;
  }
  status() {
    return this.service.status()[0]!;
  }
  request = async (_method: string, _path: string, body: unknown, options: RequestOptions = {}) => {
    if (!this.up) throw new NotConnectedError('connect refused');
    const poll = structuredClone(body) as DiscoveryPoll;
    this.polls.push(poll);
    if (this.before && (poll.node.clientFeatures || poll.requests.some(isNew))) return { status: 400, body: {} };
    const answer = await this.service.poll(poll, 'spiffe://x', options.signal ?? new AbortController().signal);
    options.signal?.throwIfAborted();
    if (!this.up) throw new ControlError('connection reset');
    return { status: 200, body: JSON.parse(Buffer.concat([...answerChunks(answer)]).toString()) as unknown };
  };
}

/** A request with a type or a field that the version before did not have. */
function isNew(request: DiscoveryPoll['requests'][number]): boolean {
  return request.typeUrl === TYPE_URLS.virtualHosts || 'heldDigests' in request || 'namesSent' in request;
}

class Target {
  running = new Map<string, unknown>();
  refuse = new Map<string, string>();
  applied: ConfigChanges[] = [];
  apply(changes: ConfigChanges): Map<string, string> {
    this.applied.push(changes);
    const refused = new Map<string, string>();
    for (const type of RESOURCE_TYPES) {
      for (const resource of (changes[type]?.upsert ?? []) as { name?: string; clusterName?: string }[]) {
        const key = `${type}/${resource.name ?? resource.clusterName}`;
        const reason = this.refuse.get(key);
        if (reason) refused.set(key, reason);
        else this.running.set(key, resource);
      }
      for (const name of changes[type]?.remove ?? []) this.running.delete(`${type}/${name}`);
    }
    return refused;
  }
}

function setup(
  plane: Pick<Plane, 'request'>,
  target: Target,
  cache?: DiskCache,
  after?: DiscoveryClientOptions['after'],
) {
  const lines: string[] = [];
  const client = new DiscoveryClient({
    client: plane,
    node: () => node,
    target,
    cache,
    time: { now: Date.now, random: Math.random },
    log: (line) => lines.push(line),
    after,
    backoff: new Backoff(Math.random, 1, 2),
  });
  return { client, lines };
}

function memoryCache(saved: { config?: CachedConfig } = {}): DiskCache {
  const cache = new DiskCache({} as never, '', () => {});
  cache.load = async () => saved.config;
  cache.save = (_, config) => void (saved.config = structuredClone(config));
  return cache;
}

describe('DiscoveryClient with several control planes', () => {
  it('has a session with one at a time, and is sent only what is new by the next one', async () => {
    const [one, two] = [new Plane(), new Plane()];
    two.clusters.set('b', '2s');
    const target = new Target();
    const lines: string[] = [];
    const addresses = [one, two].map((client, index) => ({
      url: `https://plane-${index}`,
      client: Object.assign(client, { close: () => {} }),
    }));
    const planes = new ControlPlanes(addresses, (line) => lines.push(line));
    const { client } = setup(planes as Pick<Plane, 'request'>, target);
    client.start();
    await client.synced;
    expect(two.polls).toEqual([]);
    target.applied = [];
    one.kill();
    await vi.waitFor(() => expect(target.running.has('clusters/b')).toBe(true), { timeout: 60_000 });
    expect(target.applied).toEqual([{ clusters: { upsert: [expect.objectContaining({ name: 'b' })], remove: [] } }]);
    expect(lines).toEqual([expect.stringMatching(/^control plane: https:\/\/plane-1 is used instead of /)]);
    const polls = one.polls.length;
    one.restart();
    two.set('b', undefined);
    await vi.waitFor(() => expect(target.running.has('clusters/b')).toBe(false), { timeout: 60_000 });
    expect(one.polls).toHaveLength(polls);
    two.kill();
    one.set('c', '3s');
    await vi.waitFor(() => expect(target.running.has('clusters/c')).toBe(true), { timeout: 60_000 });
    await client.stop();
  });
});

describe('DiscoveryClient', () => {
  it('applies what it is sent, acknowledges it, and follows changes and removals', async () => {
    const plane = new Plane();
    const target = new Target();
    const { client } = setup(plane, target);
    client.start();
    await client.synced;
    expect([...target.running.keys()]).toEqual(['clusters/a', 'endpoints/a']);
    expect(target.running.get('clusters/a')).toEqual({ name: 'a', connectTimeout: '1s' });
    plane.set('b', '2s');
    await vi.waitFor(() => expect(target.running.has('clusters/b')).toBe(true));
    plane.set('a', undefined);
    await vi.waitFor(() => expect(target.running.has('clusters/a')).toBe(false));
    await vi.waitFor(() => expect(plane.status().types.clusters.state).toBe('SYNCED'));
    await client.stop();
  });

  it('NACKs the refused resource by name and reason, keeps the rest, and is not sent it again', async () => {
    const plane = new Plane();
    plane.clusters.set('b', 'bad');
    const target = new Target();
    target.refuse.set('clusters/b', 'connectTimeout: must be a duration');
    const { client, lines } = setup(plane, target);
    client.start();
    await vi.waitFor(() =>
      expect(plane.status().types.clusters).toMatchObject({
        state: 'NACK',
        resources: 1,
        refused: [{ name: 'b', message: 'connectTimeout: must be a duration' }],
      }),
    );
    expect(client.state.refused.has('clusters/b')).toBe(true);
    expect(lines).toEqual(['config refused: clusters/b: connectTimeout: must be a duration']);
    expect(target.running.has('clusters/a')).toBe(true);
    target.refuse.clear();
    plane.set('b', '1s');
    await vi.waitFor(() => expect(plane.status().types.clusters.state).toBe('SYNCED'));
    expect(target.applied.flatMap((changes) => changes.clusters?.upsert ?? [])).toHaveLength(3);
    expect(client.state.refused.size).toBe(0);
    await client.stop();
  });

  it('tells the control plane of a listener that was refused and has opened since', async () => {
    const plane = new Plane();
    plane.served = ['l'];
    const target = new Target();
    target.refuse.set('listeners/l', 'cannot listen on 127.0.0.1:80: in use');
    const saved: { config?: CachedConfig } = {};
    const attempts: (() => void)[] = [];
    const after = (_: number, callback: () => void) => {
      attempts.push(callback);
      return () => {};
    };
    const { client, lines } = setup(plane, target, memoryCache(saved), after);
    let synced = false;
    void client.synced.then(() => (synced = true));
    client.start();
    await vi.waitFor(() => expect(plane.status().types.listeners.state).toBe('NACK'));
    const [refusal] = plane.status().types.listeners.refused;
    expect(refusal?.message).toBe('cannot listen on 127.0.0.1:80: in use; it is tried again with back-off');
    expect([...client.state.refused.keys()]).toEqual(['listeners/l']);
    expect(synced).toBe(false);
    target.refuse.clear();
    attempts.at(-1)!();
    await client.synced;
    expect(client.state.refused.size).toBe(0);
    expect(lines.at(-1)).toBe('listener l is open now');
    expect(saved.config?.listeners.map(({ name }) => name)).toEqual(['l']);
    // With the next poll, which another change is due before its time.
    plane.set('b', '1s');
    await vi.waitFor(() => expect(plane.status().types.listeners).toMatchObject({ state: 'SYNCED', refused: [] }));
    expect(target.applied.filter(({ listeners }) => (listeners?.upsert.length ?? 0) > 0)).toHaveLength(2);
    await client.stop();
  });

  it('tries listeners again that a target refused by throwing', async () => {
    const plane = new Plane();
    plane.served = ['l'];
    const target = new Target();
    const apply = target.apply.bind(target);
    target.apply = () => {
      throw new Error('a worker has ended');
    };
    const attempts: (() => void)[] = [];
    const after = (_: number, callback: () => void) => {
      attempts.push(callback);
      return () => {};
    };
    const { client } = setup(plane, target, undefined, after);
    client.start();
    await vi.waitFor(() => expect(attempts).toHaveLength(1));
    attempts[0]!();
    await vi.waitFor(() => expect(attempts).toHaveLength(2));
    target.apply = apply;
    attempts[1]!();
    await vi.waitFor(() => expect(target.running.has('listeners/l')).toBe(true));
    await client.stop();
  });

  it('is ready, and has the disk keep what it holds, with the last page', async () => {
    const page = (name: string, more: boolean) => ({
      responses: [
        {
          typeUrl: TYPE_URLS.clusters,
          nonce: name,
          resources: [{ name, version: '1', resource: { '@type': TYPE_URLS.clusters, name } }],
        },
      ],
      ...(more && { more }),
    });
    const answers = [{ features: FEATURES, responses: [] }, page('a', true), page('b', true), page('c', false)];
    /** What was known when each poll was made. */
    const seen: { whole: number; saved: number; ready: boolean }[] = [];
    const saved: string[][] = [];
    let whole = 0;
    let ready = false;
    const request = async (_method: string, _path: string, _body: unknown, options: RequestOptions = {}) => {
      await new Promise((turn) => setImmediate(turn));
      seen.push({ whole, saved: saved.length, ready });
      const answer = answers.shift();
      if (answer) return { status: 200, body: { session: 's', ...answer } };
      return new Promise<never>((_done, failed) =>
        options.signal!.addEventListener('abort', () => failed(new Error('stopped'))),
      );
    };
    const cache = {
      load: async () => undefined,
      save: (_node: string, { clusters = [] }: { clusters?: { name: string }[] }) =>
        void saved.push(clusters.map(({ name }) => name)),
      flush: async () => {},
    } as unknown as DiskCache;
    const client = new DiscoveryClient({
      client: { request },
      node: () => node,
      target: new Target(),
      cache,
      time: { now: () => 0, random: () => 0 },
      log: () => {},
      onWhole: () => void whole++,
    });
    void client.synced.then(() => (ready = true));
    client.start();
    await vi.waitFor(() => expect(seen).toHaveLength(5));
    await client.stop();
    const nothing = { whole: 0, saved: 0, ready: false };
    expect(seen).toEqual([nothing, nothing, nothing, nothing, { whole: 1, saved: 1, ready: true }]);
    expect(saved).toEqual([['a', 'b', 'c']]);
  });

  it('sends what is wanted also where a page of names ends no bucket', async () => {
    const polls: DiscoveryPoll[] = [];
    let want: (type: 'clusters', name: string) => void = () => {};
    const namesWanted = [{ typeUrl: TYPE_URLS.clusters, buckets: [] }];
    const answers = [{ features: FEATURES }, { namesWanted, more: true }];
    const request = async (_method: string, _path: string, body: unknown, options: RequestOptions = {}) => {
      polls.push(body as DiscoveryPoll);
      const answer = answers.shift();
      if (answer) {
        if (answer.namesWanted) want('clusters', 'c');
        return { status: 200, body: { session: 's', responses: [], ...answer } };
      }
      if (polls.length === 3) return { status: 200, body: { session: 's', responses: [] } };
      return new Promise<never>((_done, failed) =>
        options.signal!.addEventListener('abort', () => failed(new Error('stopped'))),
      );
    };
    let made = 0;
    const client: DiscoveryClient = new DiscoveryClient({
      client: { request },
      node: () => {
        // A client that makes one poll after the other would never let the test end.
        if (++made > 50) void client.stop();
        return node;
      },
      target: new Target(),
      time: { now: () => 0, random: () => 0 },
      log: () => {},
      onDemand: {
        traffic: { onWanted: (take) => void (want = take), takeUsed: () => ({ virtualHosts: [], clusters: [] }) },
        unusedMs: 1000,
      },
    });
    client.start();
    await vi.waitFor(() => expect(polls.length).toBeGreaterThanOrEqual(4));
    const names = (poll: DiscoveryPoll) => poll.requests.flatMap((one) => one.resourceNamesSubscribe ?? []);
    expect(polls.slice(2, 4).map(names)).toEqual([[], ['c']]);
    await client.stop();
  });

  it('is in force only once some of the clusters is, and listeners if any are wanted', async () => {
    const plane = new Plane();
    const target = new Target();
    target.refuse.set('clusters/a', 'nonsense');
    const saved: { config?: CachedConfig } = {};
    const { client, lines } = setup(plane, target, memoryCache(saved));
    let synced = false;
    void client.synced.then(() => (synced = true));
    client.start();
    await vi.waitFor(() => expect(plane.status().types.clusters.state).toBe('NACK'));
    expect(lines.at(-1)).toBe('not ready: all clusters were refused, see above and "tulle proxy-status"');
    expect(synced).toBe(false);
    plane.set('b', '1s');
    await client.synced;
    expect(client.state.refused.has('clusters/a')).toBe(true);
    await client.stop();
  });

  it('does not take a cache for config of which no cluster can run any more', async () => {
    const target = new Target();
    target.refuse.set('clusters/a', 'nonsense');
    const config = {
      secrets: [],
      clusters: [{ name: 'a', version: '1', resource: { name: 'a' } }],
      endpoints: [],
      routes: [],
      listeners: [],
      hosts: [],
      dnsHosts: [],
      virtualHosts: [],
    };
    config.endpoints.push({ name: 'a', version: '1', resource: { clusterName: 'a' } } as never);
    const { client } = setup(new Plane(), target, memoryCache({ config }));
    expect(await client.restore()).toBe(false);
  });

  it('takes a target that throws as a refusal of everything', async () => {
    const plane = new Plane();
    const { client } = setup(
      plane,
      Object.assign(new Target(), {
        apply: () => {
          throw new Error('boom');
        },
      }),
    );
    client.start();
    await vi.waitFor(() =>
      expect(plane.status().types.clusters.refused).toMatchObject([{ name: 'a', message: 'boom' }]),
    );
    await client.stop();
  });

  it('keeps serving while the control plane is away, and resumes without being resent what it has', async () => {
    const plane = new Plane();
    const target = new Target();
    const { client, lines } = setup(plane, target);
    client.start();
    await client.synced;
    plane.kill();
    await vi.waitFor(() => expect(client.state.failures).toBeGreaterThan(3));
    expect(target.running.size).toBe(2);
    expect(lines).toHaveLength(1);
    plane.clusters.set('b', '1s');
    plane.restart();
    await vi.waitFor(() => expect(target.running.has('clusters/b')).toBe(true));
    expect(lines.at(-1)).toBe('control plane is back');
    expect(target.applied.at(-1)).toEqual({ clusters: { upsert: [{ name: 'b', connectTimeout: '1s' }], remove: [] } });
    await client.stop();
  });

  it('restores from the cache and says what it has on the first poll', async () => {
    const saved: { config?: CachedConfig } = {};
    const plane = new Plane();
    const one = setup(plane, new Target(), memoryCache(saved));
    one.client.start();
    await one.client.synced;
    await vi.waitFor(() => expect(saved.config?.clusters).toHaveLength(1));
    await one.client.stop();

    plane.kill();
    const target = new Target();
    const { client } = setup(plane, target, memoryCache(saved));
    expect(await client.restore()).toBe(true);
    expect([...target.running.keys()]).toEqual(['clusters/a', 'endpoints/a']);
    plane.polls = [];
    plane.restart();
    client.start();
    await client.synced;
    expect(plane.polls[0]).toEqual({ node: { ...node, clientFeatures: FEATURES.slice(0, 3) }, requests: [] });
    const { requests } = plane.polls[1]!;
    expect(requests.map(({ typeUrl }) => typeUrl)).toEqual(
      RESOURCE_TYPES.filter((type) => type !== 'hosts' && type !== 'dnsHosts').map((type) => TYPE_URLS[type]),
    );
    const clusters = requests.find(({ typeUrl }) => typeUrl === TYPE_URLS.clusters)!;
    expect(clusters.initialResourceVersions).toBeUndefined();
    expect(clusters.heldDigests!.filter((digest) => digest !== '')).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(target.applied).toHaveLength(1);
    await client.stop();
  });

  it('says the names that the control plane asks for, and is sent what differs', async () => {
    const entry = (name: string, version: string) => ({ name, version, resource: { name } });
    const config = {
      secrets: [],
      endpoints: [],
      routes: [],
      listeners: [],
      hosts: [],
      dnsHosts: [],
      virtualHosts: [],
      clusters: [entry('a', 'old'), entry('x', '1')],
    };
    const plane = new Plane();
    const target = new Target();
    const { client } = setup(plane, target, memoryCache({ config }));
    await client.restore();
    client.start();
    await client.synced;
    expect(plane.polls[2]!.requests).toEqual([
      {
        typeUrl: TYPE_URLS.clusters,
        initialResourceVersions: { a: 'old', x: '1' },
        namesSent: expect.arrayContaining([bucketOf('a'), bucketOf('x')]),
      },
    ]);
    expect(target.running.get('clusters/a')).toEqual({ name: 'a', connectTimeout: '1s' });
    expect(target.running.has('clusters/x')).toBe(false);
    await client.stop();
  });

  it('is in force only after the last page of the first answer', async () => {
    const plane = new Plane();
    for (let i = 0; i < 1500; i++) plane.clusters.set(`c${i}`, '1s');
    const target = new Target();
    const { client } = setup(plane, target);
    client.start();
    await client.synced;
    expect(target.running.size).toBe(1502);
    expect(target.applied.map((changes) => changes.clusters?.upsert.length)).toEqual([1000, 501]);
    await client.stop();
  });

  it('joins a control plane of the version before with whole names and types of then, and one of now once it is new', async () => {
    const saved: { config?: CachedConfig } = {};
    const plane = new Plane();
    plane.before = true;
    const target = new Target();
    const { client, lines } = setup(plane, target, memoryCache(saved));
    client.start();
    await client.synced;
    expect([lines, client.state.failures]).toEqual([[], 0]);
    expect(plane.polls[1]!.requests).toEqual(
      ['secrets', 'clusters', 'endpoints', 'routes', 'listeners'].map((type) => ({
        typeUrl: TYPE_URLS[type as 'secrets'],
        resourceNamesSubscribe: ['*'],
        initialResourceVersions: {},
      })),
    );
    plane.set('b', '1s');
    await vi.waitFor(() => expect(target.running.has('clusters/b')).toBe(true));
    plane.before = false;
    plane.polls = [];
    plane.restart();
    await vi.waitFor(() => expect(plane.polls.some(({ requests }) => requests.some(isNew))).toBe(true));
    plane.set('c', '1s');
    await vi.waitFor(() => expect(target.running.has('clusters/c')).toBe(true));
    await client.stop();
  });

  it('refuses resources that are not what the response says, without handing them over', async () => {
    const target = new Target();
    const polls: DiscoveryPoll[] = [];
    const { client } = setup(new Plane(), target);
    const answers = [
      { session: 's', responses: [] },
      {
        session: 's',
        responses: [
          {
            typeUrl: TYPE_URLS.clusters,
            nonce: '1',
            resources: [
              { name: 'x', version: '1', resource: { '@type': TYPE_URLS.clusters, name: 'y' } },
              { name: 'l', version: '1', resource: { '@type': TYPE_URLS.listeners, name: 'l' } },
            ],
          },
          { typeUrl: 'type.googleapis.com/alien', nonce: '2', resources: [{ name: 'z', version: '1', resource: {} }] },
        ],
      },
    ];
    Object.assign(client, {
      options: {
        ...Reflect.get(client, 'options'),
        client: {
          request: (_m: string, _p: string, body: DiscoveryPoll, { signal }: { signal: AbortSignal }) => {
            polls.push(structuredClone(body));
            const next = answers.shift();
            if (next) return Promise.resolve({ status: 200, body: next });
            return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          },
        },
      },
    });
    client.start();
    await vi.waitFor(() => expect(polls).toHaveLength(3));
    expect(target.running.size).toBe(0);
    const [first, second] = polls[2]!.requests;
    expect(first!.errorDetail!.message).toBe(`x: it names itself "y"\nl: @type: must be "${TYPE_URLS.clusters}"`);
    expect(second).toMatchObject({ typeUrl: 'type.googleapis.com/alien', responseNonce: '2' });
    await client.stop();
  });
});

describe('Backoff', () => {
  it('doubles up to its cap, with jitter, and starts over', () => {
    const high = new Backoff(() => 1, 100, 1000);
    expect([high.next(), high.next(), high.next(), high.next(), high.next()]).toEqual([100, 200, 400, 800, 1000]);
    high.reset();
    expect(high.next()).toBe(100);
    expect(new Backoff(() => 0, 100, 1000).next()).toBe(50);
  });
});
