/** Health checks, limits and connections of the upstream side, over sockets, on every runtime from one body. */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINUX, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { ANY, at, hcm, listener, tcp } from './bootstrap.ts';

/** A server that tells its name, who asked, and over which of its connections. */
class Backend {
  readonly name: string;
  port = 0;
  /** The answer to health checks. */
  health = 200;
  status = 200;
  checks = 0;
  connections = 0;
  /** Answers wait for this. */
  gate: Promise<void> = Promise.resolve();
  under = 0;
  /** Host, path and length of the bodies received. */
  readonly bodies: string[] = [];
  private readonly server: http.Server;

  constructor(name: string) {
    this.name = name;
    this.server = http.createServer((request, response) => {
      if (request.url === '/healthz') {
        this.checks++;
        response.writeHead(this.health).end();
        return;
      }
      this.under++;
      let length = 0;
      request.on('data', (bytes: Buffer) => (length += bytes.length));
      request.on('end', () => this.bodies.push(`${request.headers.host} ${request.url} ${length}`));
      void this.gate.then(() => {
        this.under--;
        response.writeHead(this.status, { 'x-from': request.socket.remoteAddress ?? '' }).end(this.name);
      });
    });
    this.server.keepAliveTimeout = 0;
    this.server.on('connection', () => this.connections++);
  }

  async start(): Promise<this> {
    this.port = await listening(this.server);
    return this;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

const httpOptions = (common: object) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${ANY}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
      common_http_protocol_options: common,
      explicit_http_config: { http_protocol_options: {} },
    },
  },
});

describe.each(RUNTIMES)('upstreams on %s', (runtime) => {
  const folder = temporaryFolder();
  const good = new Backend('good');
  const shaky = new Backend('shaky');
  let proxy: ProxyProcess;
  /** Takes the first bytes of each connection for its own. */
  const secret = { port: 0, first: [] as number[], server: net.createServer() };

  const endpoint = (port: number, more: object = {}) => ({ endpoint: { address: at(port) }, ...more });
  const cluster = (name: string, localities: object[], more: object = {}) => ({
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    load_assignment: { cluster_name: name, endpoints: localities },
    ...more,
  });

  beforeAll(async () => {
    await Promise.all([good.start(), shaky.start()]);
    secret.server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes) => {
        secret.first.push(bytes[0]!);
        socket.destroy();
      });
    });
    secret.port = await listening(secret.server);
    const both = [{ lb_endpoints: [endpoint(good.port), endpoint(shaky.port)] }];
    const one = [{ lb_endpoints: [endpoint(good.port)] }];
    const clusters = [
      cluster('checked', both, {
        common_lb_config: { healthy_panic_threshold: {} },
        health_checks: [
          {
            timeout: '5s',
            interval: '0.05s',
            no_traffic_interval: '0.05s',
            unhealthy_threshold: 2,
            healthy_threshold: 2,
            http_health_check: { path: '/healthz', host: 'check.test' },
          },
        ],
      }),
      cluster('limited', one, {
        circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1, track_remaining: true }] },
      }),
      cluster('aging', one, httpOptions({ max_connection_duration: '0.2s' })),
      cluster('alive', one, { upstream_connection_options: { tcp_keepalive: { keepalive_time: 40 } } }),
      cluster('from', one, { upstream_bind_config: { source_address: { address: '127.0.0.9', port_value: 0 } } }),
      cluster(
        'failing-over',
        [
          { priority: 0, lb_endpoints: [endpoint(shaky.port)] },
          { priority: 1, lb_endpoints: [endpoint(good.port)] },
        ],
        { outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, base_ejection_time: '600s' } },
      ),
      cluster(
        'weighed',
        [
          { locality: { region: 'a' }, load_balancing_weight: 3, lb_endpoints: [endpoint(good.port)] },
          { locality: { region: 'b' }, load_balancing_weight: 1, lb_endpoints: [endpoint(shaky.port)] },
        ],
        { common_lb_config: { locality_weighted_lb_config: {} } },
      ),
    ];
    const dnsCache = { dns_cache_config: { name: 'names', dns_lookup_family: 'V4_ONLY' } };
    clusters.push(
      {
        name: 'dynamic',
        connect_timeout: '2s',
        lb_policy: 'CLUSTER_PROVIDED',
        cluster_type: {
          name: 'envoy.clusters.dynamic_forward_proxy',
          typed_config: {
            '@type': `${ANY}envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig`,
            ...dnsCache,
          },
        },
      } as never,
      {
        name: 'original',
        type: 'ORIGINAL_DST',
        connect_timeout: '2s',
        lb_policy: 'CLUSTER_PROVIDED',
        original_dst_lb_config: { use_http_header: true },
      } as never,
    );
    const mirroring = hcm('alive');
    const [host] = mirroring.typed_config.route_config.virtual_hosts;
    const share = (numerator: number) => ({ default_value: { numerator, denominator: 'HUNDRED' } });
    Object.assign(host!.routes[0]!.route, {
      request_mirror_policies: [
        { cluster: 'shadow' },
        { cluster: 'shadow', runtime_fraction: share(0) },
        { cluster: 'shadow', runtime_fraction: share(100), disable_shadow_host_suffix_append: true },
      ],
    });
    clusters.push(cluster('shadow', [{ lb_endpoints: [endpoint(shaky.port)] }]));
    proxy = new ProxyProcess(runtime, join(folder.path, 'config.json'), {
      node: { id: 'upstreams', cluster: 'upstreams' },
      admin: { address: at(0) },
      static_resources: {
        listeners: [
          ...clusters.map(({ name }) => listener(name, [hcm(name)])),
          listener('mirroring', [mirroring]),
          {
            ...listener('sni', [
              {
                name: 'sni',
                typed_config: {
                  '@type': `${ANY}envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig`,
                  ...dnsCache,
                  port_value: secret.port,
                },
              },
              tcp('dynamic'),
            ]),
            listener_filters: [
              {
                name: 'tls',
                typed_config: { '@type': `${ANY}envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector` },
              },
            ],
          },
        ],
        clusters,
      },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy.stop('SIGKILL');
    secret.server.close();
    good.stop();
    shaky.stop();
    folder.dispose();
  });

  const get = async (name: string) => {
    const response = await fetch(`http://127.0.0.1:${proxy.ports[name]}/`);
    return { status: response.status, body: await response.text(), headers: response.headers };
  };
  const bodies = async (name: string, times: number) => {
    const found: string[] = [];
    for (let i = 0; i < times; i++) found.push((await get(name)).body);
    return new Set(found);
  };
  const flags = async (name: string, port: number) =>
    (await proxy.admin('/clusters')).body.match(
      new RegExp(`^${name}::127.0.0.1:${port}::health_flags::(.*)$`, 'm'),
    )?.[1];

  it('asks endpoints for their health, and uses those that are well', async () => {
    await until('both are judged', () => good.checks > 0 && shaky.checks > 0);
    await until('both are used', async () => (await bodies('checked', 10)).size === 2);
    shaky.health = 503;
    await until('the check fails', async () => (await flags('checked', shaky.port)) === '/failed_active_hc');
    expect([...(await bodies('checked', 10))]).toEqual(['good']);
    const json = JSON.parse((await proxy.admin('/clusters?format=json')).body) as {
      cluster_statuses: { name: string; host_statuses: { health_status: object }[] }[];
    };
    const hosts = json.cluster_statuses.find(({ name }) => name === 'checked')!.host_statuses;
    expect(hosts.map((host) => host.health_status)).toEqual([
      { eds_health_status: 'HEALTHY' },
      { failed_active_health_check: true, eds_health_status: 'HEALTHY' },
    ]);
    shaky.health = 200;
    await until('it is used again', async () => (await bodies('checked', 10)).size === 2);
  });

  it('overflows when connections and places to wait are taken', async () => {
    let open: () => void = () => undefined;
    good.gate = new Promise((resolve) => (open = resolve));
    const first = get('limited');
    await until('the first is under way', () => good.under === 1);
    const second = get('limited');
    await until('the second waits', async () =>
      (await proxy.admin('/metrics')).body.includes(
        'envoy_cluster_circuit_breakers_rq_pending_open{cluster_name="limited",priority="default"} 1',
      ),
    );
    const third = await get('limited');
    expect([third.status, third.headers.get('x-envoy-overloaded')]).toEqual([503, 'true']);
    expect((await proxy.admin('/metrics')).body).toContain(
      'envoy_cluster_circuit_breakers_remaining_cx{cluster_name="limited",priority="default"} 0',
    );
    open();
    expect((await Promise.all([first, second])).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('ends connections that are too old, after their request', async () => {
    await get('aging');
    const before = good.connections;
    await until('another connection is made', async () => {
      await get('aging');
      return good.connections > before;
    });
  });

  it.skipIf(!LINUX)('keeps connections alive by probes of the kernel', async () => {
    await get('alive');
    // Field 6 is the timer of the socket, 02 the keepalive one; addresses and ports are in hexadecimal.
    const remote = `0100007F:${good.port.toString(16).toUpperCase().padStart(4, '0')}`;
    const timers = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[2] === remote && fields[3] === '01')
      .map((fields) => fields[5]!.split(':'));
    const probed = timers.filter(([kind, when]) => kind === '02' && Number.parseInt(when!, 16) <= 40 * 100);
    expect(probed.length).toBeGreaterThanOrEqual(1);
  });

  it('dials from the configured address', async () => {
    expect((await get('from')).headers.get('x-from')).toMatch(/127\.0\.0\.9$/);
    expect((await get('aging')).headers.get('x-from')).toMatch(/127\.0\.0\.1$/);
  });

  it('fails over to the next priority when the first is ejected', async () => {
    shaky.status = 500;
    expect((await get('failing-over')).body).toBe('shaky');
    expect((await get('failing-over')).status).toBe(500);
    shaky.status = 200;
    expect([...(await bodies('failing-over', 8))]).toEqual(['good']);
    expect(await flags('failing-over', shaky.port)).toBe('/failed_outlier_check');
  });

  /** As `fetch` does not: with a Host of its own. */
  const ask = (name: string, headers: Record<string, string>) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: proxy.ports[name], headers, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text) => (body += text));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      request.on('error', reject);
    });

  it('goes to the host that the request names', async () => {
    expect(await ask('dynamic', { host: `localhost:${good.port}` })).toEqual({ status: 200, body: 'good' });
    expect(await ask('dynamic', { host: `127.0.0.1:${shaky.port}` })).toEqual({ status: 200, body: 'shaky' });
    expect(await ask('dynamic', { host: 'no-such-name.invalid' })).toEqual({
      status: 503,
      body: 'DNS resolution failure',
    });
  });

  it('goes to the host that a TLS client names', async () => {
    const hello = (servername: string) =>
      new Promise<void>((resolve) => {
        const socket = tls.connect({ host: '127.0.0.1', port: proxy.ports['sni']!, servername });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
      });
    await hello('localhost');
    expect(secret.first).toEqual([0x16]);
    await hello('no-such-name.invalid');
    expect(secret.first).toHaveLength(1);
  });

  it('goes to the original destination that a header names', async () => {
    const to = (value: string) => ask('original', { 'x-envoy-original-dst-host': value });
    expect(await to(`127.0.0.1:${shaky.port}`)).toEqual({ status: 200, body: 'shaky' });
    expect((await to('elsewhere')).body).toBe('no healthy upstream');
  });

  it('mirrors requests of any size, each by its own share', async () => {
    const port = proxy.ports['mirroring'];
    let turn = 0;
    for (const length of [0, 10, 3_000_000]) {
      // A mirror that does not keep up on a busy machine is given up: another request is mirrored then.
      await until('both mirrors have a whole request', async () => {
        const path = `/m${turn++}`;
        const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body: 'x'.repeat(length) });
        expect([answer.status, await answer.text()]).toEqual([200, 'good']);
        const wanted = [`127.0.0.1-shadow:${port} ${path} ${length}`, `127.0.0.1:${port} ${path} ${length}`];
        const copies = () => shaky.bodies.filter((line) => line.includes(` ${path} `)).sort();
        await until('they arrive', () => copies().length === 2, 3000);
        expect(copies()).toEqual(wanted);
        return true;
      });
    }
  });

  it('weighs localities', async () => {
    let near = 0;
    for (let i = 0; i < 400; i++) if ((await get('weighed')).body === 'good') near++;
    // 300 expected, standard deviation 8.7.
    expect(near).toBeGreaterThan(240);
    expect(near).toBeLessThan(360);
  });
});
