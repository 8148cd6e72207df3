/** A proxy from a file whose clusters lead to listeners of the same process: it connects to none of them. */
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get } from '../e2e/shop-mesh.ts';
import { LINUX, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { freePorts } from '../kit/ports.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { ANY, hcm, tcp } from './bootstrap.ts';

const REFUSED = 'connection_to_a_listener_of_this_proxy_refused';
/** Of every listener, one line for each request or connection. */
const LOG = {
  name: 'envoy.access_loggers.stdout',
  typed_config: {
    '@type': `${ANY}envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`,
    log_format: {
      json_format: {
        log: 'own',
        cluster: '%UPSTREAM_CLUSTER%',
        flags: '%RESPONSE_FLAGS%',
        reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
      },
    },
  },
};
const COUNTER = 'cluster_manager.own_listener_connect_refused';
const NAMES = [
  'http',
  'original',
  'dynamic',
  'direct',
  'chained',
  'wildcard',
  'mapped',
  'named',
  'admin',
  'beyond',
] as const;
type Ports = Record<(typeof NAMES)[number], number>;

/** Descriptors of a process and of its workers. */
function descriptors(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return readdirSync(`/proc/${pid}/fd`).length + children.reduce((sum, child) => sum + descriptors(child), 0);
}

/** What comes from `port` until the connection ends, after `PING` was sent. */
function ping(port: number): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.on('data', (bytes) => (received += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

const address = (host: string, port: number) => ({ socket_address: { address: host, port_value: port } });

function clusterTo(name: string, host: string, port: number, more: object = {}) {
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(host, port) } }] }];
  return { name, type: 'STATIC', load_assignment: { cluster_name: name, endpoints }, ...more };
}

function bootstrap(ports: Ports, adminPort: number, beyond: number): object {
  const listen = (name: keyof Ports, filter: ReturnType<typeof tcp>, host = '127.0.0.1') => ({
    name,
    address: address(host, ports[name]),
    filter_chains: [
      { filters: [{ ...filter, typed_config: { ...filter.typed_config, stat_prefix: name, access_log: [LOG] } }] },
    ],
  });
  const web = (to: string) => hcm(to) as unknown as ReturnType<typeof tcp>;
  const check = { timeout: '1s', interval: '0.1s', unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {} };
  return {
    static_resources: {
      listeners: [
        listen('http', web('http')),
        listen('original', web('original')),
        listen('dynamic', web('dynamic')),
        listen('direct', tcp('direct')),
        listen('chained', tcp('chained')),
        listen('wildcard', tcp('wildcard'), '0.0.0.0'),
        listen('mapped', tcp('mapped')),
        listen('named', tcp('named')),
        listen('admin', tcp('admin')),
        listen('beyond', tcp('beyond')),
      ],
      clusters: [
        clusterTo('http', '127.0.0.1', ports.http),
        {
          name: 'original',
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          original_dst_lb_config: { use_http_header: true },
        },
        {
          name: 'dynamic',
          lb_policy: 'CLUSTER_PROVIDED',
          cluster_type: {
            name: 'envoy.clusters.dynamic_forward_proxy',
            typed_config: {
              '@type': `${ANY}envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig`,
              dns_cache_config: { name: 'names', dns_lookup_family: 'V4_ONLY' },
            },
          },
        },
        clusterTo('direct', '127.0.0.1', ports.direct),
        clusterTo('chained', '127.0.0.1', ports.direct),
        clusterTo('wildcard', '127.9.9.9', ports.wildcard),
        clusterTo('mapped', '::ffff:127.0.0.1', ports.mapped),
        clusterTo('named', 'localhost', ports.named, { type: 'STRICT_DNS', dns_lookup_family: 'V4_ONLY' }),
        clusterTo('admin', '127.0.0.1', adminPort),
        clusterTo('beyond', '127.0.0.1', beyond),
        clusterTo('checked', '127.0.0.1', ports.http, { health_checks: [check] }),
      ],
    },
  };
}

describe.skipIf(!LINUX)('a proxy whose clusters lead to its own listeners', () => {
  const folder = temporaryFolder();
  const upstream = net.createServer((socket) => socket.on('error', () => {}).end('+PONG\r\n'));
  let beyond = 0;
  beforeAll(async () => {
    beyond = await listening(upstream);
  });
  afterAll(() => {
    upstream.close();
    folder.dispose();
  });

  it.each(RUNTIMES.flatMap((runtime) => [1, 2].map((workers) => [runtime, workers] as const)))(
    'refuses each connection to them, and counts and logs it (%s, %i)',
    async (runtime, workers) => {
      const [adminPort, ...free] = await freePorts(NAMES.length + 1);
      const ports = Object.fromEntries(NAMES.map((name, i) => [name, free[i]!])) as Ports;
      const config = bootstrap(ports, adminPort!, beyond);
      const flags = ['--concurrency', String(workers), '--admin-port', String(adminPort)];
      const proxy = new ProxyProcess(runtime, join(folder.path, `${runtime}-${workers}.json`), config, flags);
      try {
        await proxy.ready();
        const refused = async () => {
          const { body } = await proxy.admin(`/stats?format=json&filter=${COUNTER}`);
          return (JSON.parse(body) as { stats: { name: string; value: number }[] }).stats[0]?.value ?? 0;
        };
        const ask = (port: number, headers: Record<string, string> = {}) =>
          get({ host: '127.0.0.1', port, path: '/', headers });
        // The other listeners are there: this one serves.
        expect(await ping(ports.beyond)).toBe('+PONG\r\n');
        const before = descriptors(proxy.process.pid!);

        expect((await ask(ports.http)).status).toBe(503);
        for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', '0.0.0.0', '127.0.0.01']) {
          const to = { 'x-envoy-original-dst-host': `${host}:${ports.original}` };
          expect([host, (await ask(ports.original, to)).status]).toEqual([host, 503]);
        }
        for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', '0.0.0.0', 'localhost']) {
          const to = { host: `${host}:${ports.dynamic}` };
          expect([host, (await ask(ports.dynamic, to)).status]).toEqual([host, 503]);
        }
        for (const name of ['direct', 'chained', 'wildcard', 'mapped', 'named', 'admin'] as const)
          for (let i = 0; i < 5; i++) expect([name, await ping(ports[name])]).toEqual([name, '']);
        await until('the refusals are counted', async () => (await refused()) >= 1 + 4 + 4 + 6 * 5);
        await until('the health check fails', async () =>
          (await proxy.admin('/clusters')).body.split('\n').some((line) => /^checked::.*failed_active_hc/.test(line)),
        );
        for (const [name, entries] of [
          ['http', 1],
          ['original', 4],
          ['dynamic', 4],
          ['direct', 5],
          ['chained', 5],
          ['wildcard', 5],
          ['mapped', 5],
          ['named', 5],
          ['admin', 5],
        ] as const) {
          const logged = await until(`${name} is logged`, () => {
            const lines = proxy.logged(name);
            return lines.length >= entries && lines;
          });
          expect(logged).toEqual(
            Array(entries).fill({ log: 'own', cluster: name, flags: expect.stringMatching(/^UF/), reason: REFUSED }),
          );
        }
        // The same name with another port is forwarded; the server there does not speak HTTP.
        expect((await ask(ports.dynamic, { host: `localhost:${beyond}` })).status).toBe(502);
        expect(proxy.output).toMatch(
          /tulle: connection refused: its destination is listener 127\.0\.0\.1:\d+ of this proxy/,
        );
        await until('the connections are closed', () => descriptors(proxy.process.pid!) <= before + 5);
        expect(await ping(ports.beyond)).toBe('+PONG\r\n');
      } finally {
        proxy.process.kill('SIGTERM');
        await proxy.exited;
      }
    },
  );
});
