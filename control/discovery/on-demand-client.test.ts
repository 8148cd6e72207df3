/** The proxy's discovery client and this service: hosts that are fetched on demand, over restarts and versions. */
import { afterEach, expect, it } from 'vitest';
import type { ConfigChanges } from '../../edge-proxy/control-client/config-target.ts';
import type { OnDemandTraffic } from '../../edge-proxy/control-client/discovery-client.ts';
import { DiscoveryClient } from '../../edge-proxy/control-client/discovery-client.ts';
import type { WantedNames, WantedType } from '../../edge-proxy/control-client/wanted-resources.ts';
import type { Resource } from '../../shared/resources/resource.ts';
import {
  DiscoveryPoll,
  type FEATURES,
  RESOURCE_TYPES,
  type ResourceType,
  resourceName,
  type XdsResource,
} from '../../shared/xds/discovery.ts';
import { compileInSlices } from '../compile/node/node.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import { answerChunks } from './answer.ts';
import { type DiscoveryOptions, DiscoveryService } from './service.ts';

const HOSTS = 12;
const entry = (i: number) =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: `s${i}`, namespace: 'shop' },
    spec: {
      hosts: [`s${i}.example`],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      endpoints: [{ address: '10.1.0.1' }],
    },
  }) as unknown as Resource;
const entries = Array.from({ length: HOSTS }, (_, i) => entry(i));
const vhost = (i: number) => `80/s${i}.example:80`;
const cluster = (i: number) => `outbound|80||s${i}.example`;

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
});

/** The control plane in process; `restart` puts another in its place. */
class Plane {
  private readonly index = new MeshIndex();
  private readonly listeners = new Set<MeshListener>();
  private view = this.index.apply({ removed: [], added: entries }, 1).view;
  private service = this.open({});
  reachable = true;
  polls: DiscoveryPoll[] = [];

  private open(options: Partial<DiscoveryOptions>): DiscoveryService {
    const mesh = {
      current: () => this.view,
      onChange: (listener: MeshListener) => {
        this.listeners.add(listener);
        return () => void this.listeners.delete(listener);
      },
    };
    // Longer than the test: whatever comes sooner was not waited for.
    return new DiscoveryService({ compile: compileInSlices, mesh, holdMs: 600_000, ...options });
  }

  restart(options: Partial<DiscoveryOptions> = {}): void {
    this.service.close();
    this.service = this.open(options);
  }

  write(removed: readonly Resource[], added: readonly Resource[]): void {
    const { view, change } = this.index.apply({ removed, added }, this.view.revision + 1);
    this.view = view;
    for (const listener of this.listeners) listener(view, change);
  }

  close(): void {
    this.service.close();
  }

  readonly client = {
    request: async (_method: string, _path: string, body?: unknown, { signal }: { signal?: AbortSignal } = {}) => {
      if (!this.reachable) throw new Error('unreachable');
      const poll = DiscoveryPoll.parse(JSON.parse(JSON.stringify(body)));
      this.polls.push(poll);
      const answer = await this.service.poll(poll, 'spiffe://x/ns/shop/sa/web', signal ?? new AbortController().signal);
      return { status: 200, body: JSON.parse(Buffer.concat([...answerChunks(answer)]).toString()) };
    },
  };
}

/** What runs the config, and the traffic on it. */
class Target implements OnDemandTraffic {
  readonly running = new Map<ResourceType, Set<string>>(RESOURCE_TYPES.map((type) => [type, new Set()]));
  /** All upserts, in order. */
  readonly accepted: string[] = [];
  want: (type: WantedType, name: string) => void = () => {};
  used: WantedNames = { virtualHosts: [], clusters: [] };
  onChange = () => {};

  onWanted(want: Target['want']): void {
    this.want = want;
  }

  takeUsed(): WantedNames {
    return this.used;
  }

  apply(changes: ConfigChanges): Map<string, string> {
    for (const type of RESOURCE_TYPES) {
      const { upsert = [], remove = [] } = changes[type] ?? {};
      for (const raw of upsert) {
        const name = resourceName(type, raw as XdsResource[typeof type]);
        this.running.get(type)!.add(name);
        this.accepted.push(`${type} ${name}`);
      }
      for (const name of remove) this.running.get(type)!.delete(name);
    }
    this.onChange();
    return new Map();
  }

  /** Resolves when `check` is true after a change. */
  async until(check: () => boolean): Promise<void> {
    while (!check()) await new Promise<void>((resolve) => (this.onChange = resolve));
  }

  has(type: ResourceType, name: string): boolean {
    return this.running.get(type)!.has(name);
  }

  outbound(): string[] {
    return [...this.running.get('clusters')!].filter((name) => name.startsWith('outbound|')).sort();
  }
}

function connect(plane: Plane, options: { features?: typeof FEATURES } = {}) {
  const target = new Target();
  const clock = { ms: 0 };
  const client = new DiscoveryClient({
    client: plane.client,
    node: () => ({
      id: 'sidecar~10.9.0.1~web.shop~shop.svc.cluster.local',
      metadata: { NAMESPACE: 'shop', INTERCEPTION_MODE: 'NONE' },
    }),
    target,
    onDemand: { traffic: target, unusedMs: 1000 },
    log: () => {},
    time: { now: () => clock.ms, random: () => 0 },
    ...options,
  });
  client.start();
  undo.push(
    () => plane.close(),
    () => client.stop(),
  );
  return { client, target, clock };
}

it('asks at once for what is wanted, while its poll is held', async () => {
  const plane = new Plane();
  const { client, target } = connect(plane);
  await client.synced;
  expect(target.running.get('hosts')!.size).toBe(HOSTS);
  expect(target.outbound()).toEqual([]);
  target.want('virtualHosts', vhost(1));
  target.want('virtualHosts', vhost(2));
  await target.until(() => target.has('virtualHosts', vhost(1)) && target.has('virtualHosts', vhost(2)));
  expect(target.outbound()).toEqual([cluster(1), cluster(2)]);
  // One that is wanted already is not asked for again.
  const before = plane.polls.length;
  target.want('virtualHosts', vhost(1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(
    plane.polls.slice(before).flatMap(({ requests }) => requests.flatMap((r) => r.resourceNamesSubscribe ?? [])),
  ).toEqual([]);
  for (let i = 3; i < HOSTS; i++) target.want('virtualHosts', vhost(i));
  await target.until(() => target.running.get('virtualHosts')!.size === HOSTS);
  expect(target.outbound()).toHaveLength(HOSTS - 1);
});

it('says after a restart of the control plane what it wants, and is sent nothing twice', async () => {
  const plane = new Plane();
  const { client, target } = connect(plane);
  await client.synced;
  target.want('virtualHosts', vhost(1));
  await target.until(() => target.has('virtualHosts', vhost(1)));
  plane.reachable = false;
  plane.restart();
  const accepted = target.accepted.length;
  target.want('virtualHosts', vhost(2));
  plane.reachable = true;
  await target.until(() => target.has('virtualHosts', vhost(2)));
  expect(target.outbound()).toEqual([cluster(1), cluster(2)]);
  expect(target.accepted.slice(accepted)).toEqual([
    `clusters ${cluster(2)}`,
    `endpoints ${cluster(2)}`,
    `virtualHosts ${vhost(2)}`,
  ]);
});

it('lets go of what is not used, and not of what is', async () => {
  const plane = new Plane();
  const { client, target, clock } = connect(plane);
  await client.synced;
  target.want('virtualHosts', vhost(1));
  target.want('virtualHosts', vhost(2));
  await target.until(() => target.outbound().length === 2);
  clock.ms = 900;
  target.used = { virtualHosts: [vhost(2)], clusters: [] };
  target.want('virtualHosts', vhost(3));
  await target.until(() => target.outbound().length === 3);
  clock.ms = 1200;
  target.used = { virtualHosts: [], clusters: [] };
  target.want('virtualHosts', vhost(4));
  await target.until(() => !target.has('virtualHosts', vhost(1)) && !target.outbound().includes(cluster(1)));
  expect(target.outbound()).toEqual([cluster(2), cluster(3), cluster(4)]);
  // It can come back.
  target.want('virtualHosts', vhost(1));
  await target.until(() => target.has('virtualHosts', vhost(1)));
});

it('drops the index when the control plane becomes eager, after all hosts are there', async () => {
  const plane = new Plane();
  const { client, target } = connect(plane);
  await client.synced;
  const sizes: number[][] = [];
  const record = () => sizes.push([target.running.get('hosts')!.size, target.outbound().length]);
  plane.restart({ discovery: 'eager' });
  while (target.running.get('hosts')!.size > 0) {
    await new Promise<void>((resolve) => (target.onChange = resolve));
    record();
  }
  expect(sizes).toEqual([
    [HOSTS, HOSTS],
    [0, HOSTS],
  ]);
  plane.restart();
  // Back on demand: what it holds it keeps until it is known to be unused.
  await target.until(() => target.running.get('hosts')!.size === HOSTS);
  target.want('virtualHosts', vhost(1));
  expect(target.outbound()).toHaveLength(HOSTS);
});

it('hears at once that what it wants is gone', async () => {
  const plane = new Plane();
  const { client, target } = connect(plane);
  await client.synced;
  plane.write([entries[5]!], []);
  await target.until(() => !target.has('hosts', 's5.example'));
  const removed: string[] = [];
  const apply = target.apply.bind(target);
  target.apply = (changes) => {
    removed.push(...(changes.virtualHosts?.remove ?? []));
    return apply(changes);
  };
  // It had begun to wait before it heard.
  target.want('virtualHosts', vhost(5));
  await target.until(() => removed.includes(vhost(5)));
  // The subscription stays: a host that comes back is there at once.
  plane.write([], [entry(5)]);
  await target.until(() => target.has('virtualHosts', vhost(5)));
});
