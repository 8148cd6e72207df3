/** Sessions that fetch hosts on demand: what they are sent unasked, by name, and never. */
import { expect, it } from 'vitest';
import type { Resource } from '../../shared/resources/resource.ts';
import {
  type DeltaDiscoveryRequest,
  DiscoveryAnswer,
  FEATURES,
  RESOURCE_TYPES,
  type ResourceType,
  TYPE_URLS,
} from '../../shared/xds/discovery.ts';
import { nackMessage } from '../../shared/xds/nack.ts';
import { compileInSlices } from '../compile/node/node.ts';
import type { MeshListener } from '../mesh/follow-store.ts';
import { MeshIndex } from '../mesh/mesh-index.ts';
import type { MeshView } from '../mesh/view.ts';
import { answerChunks, type PollAnswer } from './answer.ts';
import { type DiscoveryOptions, DiscoveryService } from './service.ts';

const caller = 'spiffe://cluster.local/ns/shop/sa/web';
const sidecar = {
  id: 'sidecar~10.9.0.1~web.shop~shop.svc.cluster.local',
  metadata: { NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web', INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080' },
  clientFeatures: [...FEATURES],
};

const entry = (host: string, protocol = 'HTTP', spec: object = {}, namespace = 'shop') =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: host.replaceAll('.', '-'), namespace },
    spec: {
      hosts: [host],
      addresses: ['240.0.0.1'],
      ports: [{ number: protocol === 'HTTP' ? 80 : 5432, name: protocol.toLowerCase(), protocol }],
      resolution: 'STATIC',
      endpoints: [{ address: '10.1.0.1' }],
      ...spec,
    },
  }) as unknown as Resource;

const resource = (kind: string, name: string, spec: object, namespace = 'shop') =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name, namespace },
    spec,
  }) as unknown as Resource;

const routed = (to: string, subset?: string) =>
  resource('VirtualService', 'one', {
    hosts: ['one.example'],
    http: [{ route: [{ destination: { host: to, ...(subset && { subset }) } }] }],
  });

/** A mesh whose resources the test writes. */
class Mesh {
  private readonly index = new MeshIndex();
  private readonly written = new Map<string, Resource>();
  private readonly listeners = new Set<MeshListener>();
  private revision = 0;
  view: MeshView = this.index.apply({ removed: [], added: [] }, 0).view;

  write(...resources: Resource[]): void {
    this.apply(resources, []);
  }

  remove(item: Resource): void {
    this.apply([], [item]);
  }

  private apply(added: Resource[], removed: Resource[]): void {
    const key = ({ kind, metadata }: Resource) => `${kind} ${metadata.namespace}/${metadata.name}`;
    const before = [...added, ...removed].flatMap((item) => this.written.get(key(item)) ?? []);
    for (const item of removed) this.written.delete(key(item));
    for (const item of added) this.written.set(key(item), item);
    const { view, change } = this.index.apply({ removed: before, added }, ++this.revision);
    this.view = view;
    for (const listener of this.listeners) listener(view, change);
  }

  service(options: Partial<DiscoveryOptions> = {}): DiscoveryService {
    const mesh = {
      current: () => this.view,
      onChange: (listener: MeshListener) => {
        this.listeners.add(listener);
        return () => void this.listeners.delete(listener);
      },
    };
    return new DiscoveryService({ compile: compileInSlices, mesh, holdMs: 40, ...options });
  }
}

/** A proxy that remembers what it is sent, answer by answer. */
class Subscriber {
  readonly held = new Map<ResourceType, Map<string, Record<string, unknown>>>(
    RESOURCE_TYPES.map((type) => [type, new Map()]),
  );
  features: readonly string[] = [];
  bytes = 0;
  private readonly service: DiscoveryService;
  private readonly node: typeof sidecar;
  private session = '';
  private acks: DeltaDiscoveryRequest[] = [];
  /** Virtual hosts that it refuses. */
  refuses = new Set<string>();
  /** What each answer brought: `+type name`, `-type name`. */
  log: string[][] = [];

  constructor(service: DiscoveryService, node = sidecar) {
    this.service = service;
    this.node = node;
  }

  async open(): Promise<this> {
    const first = await this.exchange([], '');
    this.session = first.session;
    this.features = first.features ?? [];
    const types = RESOURCE_TYPES.filter((type) => type !== 'hosts' || this.features.includes('tulle.on-demand'));
    await this.poll(types.map((type) => ({ typeUrl: TYPE_URLS[type], resourceNamesSubscribe: ['*'] })));
    return this;
  }

  /** Polls until there is no more. */
  async poll(requests: DeltaDiscoveryRequest[] = []): Promise<void> {
    for (let answer = await this.exchange([...this.acks, ...requests], this.session); ; ) {
      this.take(answer);
      if (!answer.more) return;
      answer = await this.exchange(this.acks, this.session);
    }
  }

  want(type: ResourceType, ...names: string[]): Promise<void> {
    return this.poll([{ typeUrl: TYPE_URLS[type], resourceNamesSubscribe: names }]);
  }

  names(type: ResourceType): string[] {
    return [...this.held.get(type)!.keys()].sort();
  }

  private async exchange(requests: DeltaDiscoveryRequest[], session: string): Promise<DiscoveryAnswer> {
    const poll = { ...(session && { session }), node: this.node, requests };
    const answer: PollAnswer = await this.service.poll(poll, caller, new AbortController().signal);
    const bytes = Buffer.concat([...answerChunks(answer)]);
    this.bytes += bytes.length;
    return DiscoveryAnswer.parse(JSON.parse(bytes.toString()));
  }

  /** As proxies judge: in a route configuration a domain belongs to one virtual host. */
  private hasDomainOf(name: string, { domains }: Record<string, unknown>): boolean {
    const others = [...this.held.get('virtualHosts')!].filter(
      ([key]) => key !== name && tableOf(key) === tableOf(name),
    );
    return others.some(([, other]) =>
      (other['domains'] as string[]).some((one) => (domains as string[]).includes(one)),
    );
  }

  private take({ responses }: DiscoveryAnswer): void {
    const log: string[] = [];
    this.acks = responses.map(({ typeUrl, nonce, resources = [], removedResources = [] }) => {
      const type = RESOURCE_TYPES.find((one) => TYPE_URLS[one] === typeUrl)!;
      const refused = new Map<string, string>();
      for (const name of removedResources) this.held.get(type)!.delete(name);
      for (const { name, resource } of resources) {
        log.push(`+${type} ${name}`);
        if (this.refuses.has(name) || (type === 'virtualHosts' && this.hasDomainOf(name, resource!)))
          refused.set(name, 'is refused');
        else this.held.get(type)!.set(name, resource!);
      }
      for (const name of removedResources) log.push(`-${type} ${name}`);
      const errorDetail = refused.size > 0 ? { code: 3, message: nackMessage(refused) } : undefined;
      return { typeUrl, responseNonce: nonce, ...(errorDetail && { errorDetail }) };
    });
    if (log.length > 0) this.log.push(log);
  }
}

/** Of a virtual host: the route configuration in its name. */
const tableOf = (name: string): string => name.slice(0, name.indexOf('/'));

const outbound = (proxy: Subscriber) => proxy.names('clusters').filter((name) => name.startsWith('outbound|'));

it('sends the index and what is eager, then the closure of a host that is named', async () => {
  const mesh = new Mesh();
  mesh.write(entry('one.example'), entry('two.example'), entry('three.example'), routed('two.example'));
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  expect(proxy.names('hosts')).toEqual(['one.example', 'three.example', 'two.example']);
  expect(proxy.held.get('hosts')!.get('one.example')).toEqual({
    '@type': TYPE_URLS.hosts,
    name: 'one.example',
    ports: [{ number: 80, protocol: 'HTTP' }],
    addresses: ['240.0.0.1'],
    virtualHosts: [
      { name: '80/one.example:80', domains: ['one.example', 'one.example.', '240.0.0.1'] },
      {
        name: 'http_proxy/one.example:80',
        domains: ['one.example:80', 'one.example', 'one.example.:80', 'one.example.', '240.0.0.1:80', '240.0.0.1'],
      },
    ],
  });
  expect(proxy.names('virtualHosts')).toEqual(['80/allow_any', 'http_proxy/allow_any']);
  expect(outbound(proxy)).toEqual([]);
  expect(proxy.names('endpoints')).toEqual([]);

  proxy.log = [];
  await proxy.want('virtualHosts', '80/one.example:80');
  expect(proxy.log).toEqual([
    ['+clusters outbound|80||two.example', '+endpoints outbound|80||two.example', '+virtualHosts 80/one.example:80'],
  ]);
  const config = service.configOf(sidecar.id)!;
  expect(config.notFetched.clusters).toEqual(['outbound|80||one.example', 'outbound|80||three.example']);
  expect(config.notFetched.virtualHosts).toContain('80/two.example:80');
  expect(config.snapshot.clusters.map(({ name }) => name)).toContain('outbound|80||two.example');
  service.close();
});

it('sends nothing of a foreign change, and of a change what it needs', async () => {
  const mesh = new Mesh();
  mesh.write(entry('one.example'), entry('two.example'), entry('three.example'));
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  await proxy.want('virtualHosts', '80/one.example:80');
  proxy.log = [];
  mesh.write(entry('two.example', 'HTTP', { endpoints: [{ address: '10.1.0.2' }] }));
  await proxy.poll();
  mesh.write(
    resource('DestinationRule', 'three', {
      host: 'three.example',
      trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
    }),
  );
  await proxy.poll();
  expect(proxy.log).toEqual([]);
  mesh.write(entry('one.example', 'HTTP', { endpoints: [{ address: '10.1.0.9' }] }));
  await proxy.poll();
  expect(proxy.log).toEqual([['+endpoints outbound|80||one.example']]);
  service.close();
});

it('removes what nothing needs after the ACK of what took its place', async () => {
  const mesh = new Mesh();
  mesh.write(entry('one.example'), entry('two.example'), entry('three.example'), routed('two.example'));
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  await proxy.want('virtualHosts', '80/one.example:80');
  proxy.log = [];
  mesh.write(routed('three.example'));
  await proxy.poll();
  expect(proxy.log).toEqual([
    [
      '+clusters outbound|80||three.example',
      '+endpoints outbound|80||three.example',
      '+virtualHosts 80/one.example:80',
    ],
    ['-clusters outbound|80||two.example', '-endpoints outbound|80||two.example'],
  ]);

  // A refused virtual host stays in force in its last version, which names the clusters before.
  proxy.log = [];
  proxy.refuses.add('80/one.example:80');
  mesh.write(routed('two.example'));
  await proxy.poll();
  await proxy.poll();
  expect(outbound(proxy)).toEqual(['outbound|80||three.example', 'outbound|80||two.example']);
  proxy.refuses.clear();
  mesh.write(routed('one.example'));
  await proxy.poll();
  await proxy.poll();
  expect(outbound(proxy)).toEqual(['outbound|80||one.example']);

  // Unsubscribing is enough: the control plane knows what else needs what.
  proxy.log = [];
  await proxy.poll([{ typeUrl: TYPE_URLS.virtualHosts, resourceNamesUnsubscribe: ['80/one.example:80'] }]);
  expect(proxy.log).toEqual([
    ['-clusters outbound|80||one.example', '-endpoints outbound|80||one.example', '-virtualHosts 80/one.example:80'],
  ]);
  service.close();
});

it('fetches the cluster of a TCP service by name', async () => {
  const mesh = new Mesh();
  mesh.write(entry('db.example', 'TCP'));
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  expect(proxy.held.get('hosts')!.get('db.example')).toMatchObject({ ports: [{ number: 5432, protocol: 'TCP' }] });
  expect(proxy.names('listeners').some((name) => name.endsWith('_5432'))).toBe(true);
  expect(outbound(proxy)).toEqual([]);
  await proxy.want('clusters', 'outbound|5432||db.example');
  expect(outbound(proxy)).toEqual(['outbound|5432||db.example']);
  expect(proxy.names('endpoints')).toEqual(['outbound|5432||db.example']);
  service.close();
});

it('answers names that the proxy may not see with their removal, like names of nothing', async () => {
  const mesh = new Mesh();
  mesh.write(
    entry('one.example'),
    entry('private.example', 'HTTP', { exportTo: ['.'] }, 'other'),
    entry('hidden.example', 'HTTP', {}, 'far'),
    resource('Sidecar', 'default', { egress: [{ hosts: ['other/*', './one.example'] }] }),
  );
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  expect(proxy.names('hosts')).toEqual(['one.example']);
  proxy.log = [];
  const forged = ['private.example', 'hidden.example', 'nowhere.example'];
  await proxy.want('virtualHosts', ...forged.map((host) => `80/${host}:80`));
  await proxy.want('clusters', ...forged.map((host) => `outbound|80||${host}`));
  expect(proxy.log).toEqual([
    forged.map((host) => `-virtualHosts 80/${host}:80`),
    forged.map((host) => `-clusters outbound|80||${host}`),
  ]);
  // One becomes visible: its subscription is in force.
  proxy.log = [];
  mesh.write(entry('private.example', 'HTTP', {}, 'other'));
  await proxy.poll();
  expect(proxy.names('hosts')).toEqual(['one.example', 'private.example']);
  expect(proxy.log[0]).toContain('+virtualHosts 80/private.example:80');
  service.close();
});

it('sends the hosts that a Sidecar names in full unasked', async () => {
  const mesh = new Mesh();
  mesh.write(
    entry('one.example'),
    entry('two.example'),
    entry('db.example', 'TCP'),
    resource('Sidecar', 'default', { egress: [{ hosts: ['./one.example', '*/db.example', 'shop/*'] }] }),
  );
  const service = mesh.service();
  const proxy = await new Subscriber(service).open();
  expect(proxy.names('hosts')).toEqual(['db.example', 'one.example', 'two.example']);
  expect(outbound(proxy)).toEqual(['outbound|5432||db.example', 'outbound|80||one.example']);
  expect(proxy.names('virtualHosts')).toEqual([
    '80/allow_any',
    '80/one.example:80',
    'http_proxy/allow_any',
    'http_proxy/db.example:5432',
    'http_proxy/one.example:80',
  ]);
  service.close();
});

it('sends everything where the control plane or the node is eager, and to gateways', async () => {
  const mesh = new Mesh();
  mesh.write(entry('one.example'), entry('two.example'));
  const all = ['outbound|80||one.example', 'outbound|80||two.example'];
  const eager = mesh.service({ discovery: 'eager' });
  const lazy = mesh.service();
  const gateway = { ...sidecar, id: 'router~10.9.0.2~edge.shop~shop.svc.cluster.local' };
  const withoutFeature = { ...sidecar, clientFeatures: FEATURES.filter((feature) => feature !== 'tulle.on-demand') };
  const partly = { ...sidecar, clientFeatures: FEATURES.filter((feature) => feature !== 'tulle.virtual-hosts') };
  for (const [service, node] of [
    [eager, sidecar],
    [lazy, gateway],
    [lazy, withoutFeature],
    [lazy, partly],
  ] as const) {
    const proxy = await new Subscriber(service, node).open();
    expect(proxy.features).not.toContain('tulle.on-demand');
    expect(outbound(proxy)).toEqual(all);
    expect(proxy.names('hosts')).toEqual([]);
    expect(service.configOf(node.id)!.notFetched).toEqual({});
  }
  eager.close();
  lazy.close();
});

it('moves a domain from one virtual host to another at once', async () => {
  const mesh = new Mesh();
  const proxy = await new Subscriber(mesh.service()).open();
  const only = resource('Sidecar', 'only', {
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
    egress: [{ hosts: ['*/*'] }],
  });
  for (const [write, name] of [
    [() => mesh.write(only), 'http_proxy/block_all'],
    [() => mesh.remove(only), 'http_proxy/allow_any'],
  ] as const) {
    proxy.log = [];
    write();
    await proxy.poll();
    await proxy.poll();
    expect(proxy.names('virtualHosts')).toEqual([name]);
    expect(proxy.held.get('virtualHosts')!.get(name)).toMatchObject({ domains: ['*'] });
  }
});
