/** Zone-aware routing beside a real Envoy: the same bootstrap, the same shares of requests by zone. */
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { closeServers, listening, UPSTREAM } from '../../kit/upstream.ts';
import { at } from '../harness/bootstrap-parts.ts';
import { listener, manager } from '../shared-file/bootstrap.ts';

const REQUESTS = 200;
/** Endpoints by zone, and the config; the proxies are two in zone `a` and two in zone `b`. */
const CASES: Record<string, { counts: Record<string, number>; common?: object; policy?: string }> = {
  enough: { counts: { a: 3, b: 3 } },
  spilling: { counts: { a: 1, b: 3 }, common: { min_cluster_size: 2 } },
  'least-request': { counts: { a: 1, b: 3 }, common: { min_cluster_size: 2 }, policy: 'LEAST_REQUEST' },
  small: { counts: { a: 1, b: 2 } },
  off: { counts: { a: 3, b: 3 }, common: { routing_enabled: { value: 0 } } },
  half: { counts: { a: 3, b: 3 }, common: { routing_enabled: { value: 50 } }, policy: 'RANDOM' },
  elsewhere: { counts: { b: 3, c: 3 } },
};

describe.skipIf(!ENVOY)('zone-aware routing', () => {
  const folder = temporaryFolder();
  const servers: http.Server[] = [];
  const proxies: RunningProxy[] = [];
  let config: object;

  beforeAll(async () => {
    const ports: Record<string, number[]> = {};
    for (const zone of ['a', 'b', 'c'])
      for (let i = 0; i < 3; i++) {
        const server = http.createServer(UPSTREAM, (_, response) => response.end(zone));
        servers.push(server);
        (ports[zone] ??= []).push(await listening(server));
      }
    const locality = (zone: string) => ({ region: 'r', zone });
    const group = (zone: string, some: readonly number[]) => ({
      locality: locality(zone),
      lb_endpoints: some.map((port) => ({ endpoint: { address: at(port) } })),
    });
    const cluster = (name: string, endpoints: object[], more: object = {}) => ({
      name,
      type: 'STATIC',
      connect_timeout: '5s',
      load_assignment: { cluster_name: name, endpoints },
      ...more,
    });
    const clusters = Object.entries(CASES).map(([name, { counts, common, policy }]) =>
      cluster(
        name,
        Object.entries(counts).map(([zone, count]) => group(zone, ports[zone]!.slice(0, count))),
        { ...(policy && { lb_policy: policy }), ...(common && { common_lb_config: { zone_aware_lb_config: common } }) },
      ),
    );
    const routes = Object.keys(CASES).map((name) => ({ match: { path: `/${name}` }, route: { cluster: name } }));
    config = {
      node: { id: 'zones', cluster: 'zones', locality: locality('a') },
      admin: { address: at(0) },
      cluster_manager: { local_cluster_name: 'proxies' },
      static_resources: {
        listeners: [listener('in', manager([], [], {}, [{ name: 'all', domains: ['*'], routes }]))],
        clusters: [...clusters, cluster('proxies', [group('a', [1, 2]), group('b', [3, 4])])],
      },
    };
    const file = join(folder.path, 'zones.json');
    writeFileSync(file, JSON.stringify(config));
    expect(envoyErrors(file)).toBe('');
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    closeServers(...servers);
    folder.dispose();
  });

  /** Percent of the requests by case and zone. */
  async function shares({ ports }: RunningProxy) {
    const out: Record<string, Record<string, number>> = {};
    for (const name of Object.keys(CASES)) {
      const found: Record<string, number> = { a: 0, b: 0, c: 0 };
      for (let sent = 0; sent < REQUESTS; sent += 20) {
        const answers = await Promise.all(
          Array.from({ length: 20 }, async () => (await fetch(`http://127.0.0.1:${ports['in']}/${name}`)).text()),
        );
        for (const zone of answers) found[zone]! += 100 / REQUESTS;
      }
      out[name] = found;
    }
    return out;
  }

  let expected: Awaited<ReturnType<typeof shares>>;
  it('Envoy keeps what it can in the zone', async () => {
    const envoy = await startEnvoy(config, folder.path, 'zones');
    proxies.push(envoy);
    expected = await shares(envoy);
    expect(expected['enough']!['a']).toBeCloseTo(100);
  });

  it.each(RUNTIMES)('Tulle on %s divides alike', async (runtime) => {
    const proxy = await startTulle(runtime, config, folder.path);
    proxies.push(proxy);
    const found = await shares(proxy);
    // 200 draws of a share of a half deviate by less than 4 x 3.6 percent.
    for (const [name, zones] of Object.entries(expected))
      for (const [zone, percent] of Object.entries(zones))
        expect(
          Math.abs(found[name]![zone]! - percent),
          `${name} ${zone}: ${JSON.stringify(found[name])}, Envoy ${JSON.stringify(zones)}`,
        ).toBeLessThan(percent === 0 || percent > 99.9 ? 0.1 : 20);
  });
});
