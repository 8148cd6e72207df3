/** Consistent hashing against a real Envoy: for the same key both proxies must choose the same endpoint. */
import { createServer, type Server } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINUX, RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { UPSTREAM } from '../../kit/upstream.ts';
import { any, listener, manager } from '../shared-file/bootstrap.ts';

const WEIGHTS = [1, 1, 3, 2, 7, 1];
const KEYS = 150;

interface Spec {
  weighted?: boolean;
  health?: readonly string[];
  localities?: readonly { weight: number; priority: number; hosts: readonly number[] }[];
  more: object;
}

/** Each cluster holds the same six servers, in its own arrangement. */
const CLUSTERS: Record<string, Spec> = {
  ring: { more: { lb_policy: 'RING_HASH' } },
  'ring-weighted': {
    weighted: true,
    more: { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 100, maximum_ring_size: 400 } },
  },
  maglev: { more: { lb_policy: 'MAGLEV' } },
  'maglev-weighted': { weighted: true, more: { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 1021 } } },
  'ring-unhealthy': {
    health: ['HEALTHY', 'UNHEALTHY', 'HEALTHY', 'DRAINING', 'HEALTHY', 'DEGRADED'],
    more: { lb_policy: 'RING_HASH', common_lb_config: { healthy_panic_threshold: {} } },
  },
  'ring-localities': {
    weighted: true,
    localities: [
      { weight: 3, priority: 0, hosts: [0, 1, 2] },
      { weight: 1, priority: 0, hosts: [3] },
      { weight: 5, priority: 0, hosts: [4, 5] },
    ],
    more: { lb_policy: 'RING_HASH', common_lb_config: { locality_weighted_lb_config: {} } },
  },
  'maglev-priorities': {
    // Half of the first priority is down: it keeps 70 percent, the rest goes to the second.
    health: ['HEALTHY', 'UNHEALTHY', 'HEALTHY', 'HEALTHY', 'HEALTHY', 'HEALTHY'],
    localities: [
      { weight: 1, priority: 0, hosts: [0, 1] },
      { weight: 1, priority: 1, hosts: [2, 3, 4, 5] },
    ],
    more: { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 1021 } },
  },
  'ring-keys': { more: { lb_policy: 'RING_HASH' } },
};

const policies: Record<string, object[]> = {
  header: [{ header: { header_name: 'x-user' } }],
  path: [{ header: { header_name: ':path' } }],
  rewritten: [
    {
      header: {
        header_name: 'x-user',
        regex_rewrite: { pattern: { regex: '^user-([0-9]).*$' }, substitution: '\\1' },
      },
    },
  ],
  cookie: [{ cookie: { name: 'session', ttl: '60s', path: '/c' } }],
  'cookie-plain': [{ cookie: { name: 'session' } }],
  query: [{ query_parameter: { name: 'uid' } }],
  source: [{ connection_properties: { source_ip: true } }],
  both: [{ header: { header_name: 'x-user' } }, { query_parameter: { name: 'uid' } }],
  terminal: [
    { header: { header_name: 'x-none' }, terminal: true },
    { header: { header_name: 'x-user' }, terminal: true },
    { query_parameter: { name: 'uid' } },
  ],
};

function cluster(name: string, spec: Spec, ports: readonly number[]) {
  const host = (i: number) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: ports[i] } } },
    ...(spec.weighted && { load_balancing_weight: WEIGHTS[i] }),
    ...(spec.health && { health_status: spec.health[i] }),
    ...(name === 'ring-keys' && { metadata: { filter_metadata: { 'envoy.lb': { hash_key: `key-${i}` } } } }),
  });
  const localities = spec.localities ?? [{ weight: 1, priority: 0, hosts: [0, 1, 2, 3, 4, 5] }];
  return {
    name,
    type: 'STATIC',
    connect_timeout: '10s',
    load_assignment: {
      cluster_name: name,
      endpoints: localities.map(({ weight, priority, hosts }, i) => ({
        locality: { region: `r${i}` },
        load_balancing_weight: weight,
        priority,
        lb_endpoints: hosts.map(host),
      })),
    },
    ...spec.more,
  };
}

function bootstrap(ports: readonly number[]) {
  const route = (path: string, name: string, policy: object[]) => ({
    match: { prefix: path },
    route: { cluster: name, hash_policy: policy },
  });
  const routes = [
    ...Object.entries(policies).map(([name, policy]) => route(`/policy/${name}/`, 'ring', policy)),
    ...Object.keys(CLUSTERS).map((name) => route(`/cluster/${name}/`, name, policies['header']!)),
  ];
  return {
    node: { id: 'hash', cluster: 'hash' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    static_resources: {
      listeners: [
        listener('tcp', {
          name: 'envoy.filters.network.tcp_proxy',
          typed_config: any('filters.network.tcp_proxy.v3.TcpProxy', {
            stat_prefix: 'tcp',
            cluster: 'ring',
            hash_policy: [{ source_ip: {} }],
          }),
        }),
        listener('main', manager([], [], { use_remote_address: false }, [{ name: 'all', domains: ['*'], routes }])),
      ],
      clusters: Object.entries(CLUSTERS).map(([name, spec]) => cluster(name, spec, ports)),
    },
  };
}

describe.skipIf(ENVOY === undefined)('consistent hashing as in Envoy', () => {
  const servers: Server[] = [];
  const proxies: RunningProxy[] = [];
  const folder = temporaryFolder();

  beforeAll(async () => {
    for (const i of WEIGHTS.keys()) {
      const server = createServer(UPSTREAM, (_, response) => response.end(String(i)));
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      servers.push(server);
    }
    const config = bootstrap(servers.map((server) => (server.address() as AddressInfo).port));
    proxies.push(await startEnvoy(config, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, config, folder.path));
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    for (const server of servers) server.close().closeAllConnections();
    folder.dispose();
  });

  async function ask(proxy: RunningProxy, path: string, headers: Record<string, string>) {
    const response = await fetch(`http://127.0.0.1:${proxy.ports['main']}${path}`, {
      headers,
    });
    expect(response.status, proxy.name).toBe(200);
    return { body: await response.text(), cookie: response.headers.get('set-cookie') };
  }

  /** The endpoints that Envoy and every runtime chose for the keys; must all be the same list. */
  async function choices(path: (key: number) => string, headers: (key: number) => Record<string, string>) {
    const lists = await Promise.all(
      proxies.map(async (proxy) => {
        const out: string[] = [];
        for (let from = 0; from < KEYS; from += 10)
          out.push(
            ...(await Promise.all(
              Array.from({ length: 10 }, (_, i) => ask(proxy, path(from + i), headers(from + i)).then((a) => a.body)),
            )),
          );
        return out;
      }),
    );
    for (const [i, list] of lists.entries()) expect(list, proxies[i]!.name).toEqual(lists[0]);
    return new Set(lists[0]);
  }

  it.each(Object.keys(CLUSTERS))('%s', async (name) => {
    const chosen = await choices(
      () => `/cluster/${name}/`,
      (key) => ({ 'x-user': `user-${key}` }),
    );
    expect(chosen.size).toBeGreaterThan(name === 'ring-unhealthy' ? 2 : 3);
  });

  const inputs: Record<string, [(key: number) => string, (key: number) => Record<string, string>]> = {
    header: [() => '', (key) => ({ 'x-user': 'u'.repeat(key % 70) + key })],
    path: [(key) => `${key}?a=b`, () => ({})],
    rewritten: [() => '', (key) => ({ 'x-user': `user-${key}` })],
    cookie: [() => '', (key) => ({ cookie: `other=1; session="v${key}"; session=2` })],
    'cookie-plain': [() => '', (key) => ({ cookie: `a=b;session=v${key}` })],
    query: [(key) => `?x=1&uid=%20${key}&uid=2`, () => ({})],
    source: [() => '', (key) => ({ 'x-forwarded-for': `10.1.${key}.7` })],
    both: [(key) => `?uid=${key}`, (key) => ({ 'x-user': `user-${key}` })],
    terminal: [(key) => `?uid=${key}`, (key) => ({ 'x-user': `user-${key}` })],
  };
  it.each(Object.keys(inputs))('policy %s', async (name) => {
    const [path, headers] = inputs[name]!;
    const chosen = await choices((key) => `/policy/${name}/${path(key)}`, headers);
    expect(chosen.size).toBeGreaterThan(3);
  });

  /** The body of the answer to a request over TCP from an address of one's own. */
  const from = (proxy: RunningProxy, localAddress: string) =>
    new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = net.connect({ host: '127.0.0.1', port: proxy.ports['tcp']!, localAddress }, () =>
        socket.write('GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'),
      );
      socket.on('data', (bytes) => (text += bytes));
      socket.on('close', () => resolve(text.slice(-1)));
      socket.on('error', reject);
    });

  it.skipIf(!LINUX)('TCP connections by their source address', async () => {
    const chosen = new Set<string>();
    for (let i = 1; i <= 40; i++) {
      const [first, ...others] = await Promise.all(proxies.map((proxy) => from(proxy, `127.0.1.${i}`)));
      expect(others).toEqual(others.map(() => first));
      chosen.add(first!);
    }
    expect(chosen.size).toBeGreaterThan(2);
  });

  it('sets the cookie that is missing, in the same form, and keeps to the endpoint it names', async () => {
    const forms = new Set<string>();
    for (const proxy of proxies) {
      const first = await ask(proxy, '/policy/cookie/', {});
      expect(first.cookie, proxy.name).toMatch(/^session="[0-9a-f]{16}"; Max-Age=60; Path=\/c; HttpOnly$/);
      forms.add(first.cookie!.replace(/"[0-9a-f]{16}"/, ''));
      const cookie = first.cookie!.split(';')[0]!;
      for (const other of proxies) {
        const next = await ask(other, '/policy/cookie/', { cookie });
        expect(next).toEqual({ body: first.body, cookie: null });
      }
    }
    expect(forms.size).toBe(1);
  });
});
