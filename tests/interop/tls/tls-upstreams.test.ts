/** Which TLS servers a cluster speaks to: the same ones from Envoy and from Tulle, for every context and certificate. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { UPSTREAM } from '../../kit/upstream.ts';
import { prefix, to } from '../harness/bootstrap-parts.ts';
import { exchange } from '../harness/raw-client.ts';
import { any, listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import { tlsCases } from './tls-contexts.ts';

/** Envoy holds servers to the depth for clients alone: docs/differences-from-envoy.md. */
const ENVOY_IGNORES = /^depth/;

describe.skipIf(!ENVOY)('TLS contexts of clusters', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const servers: ReturnType<typeof createServer>[] = [];
  let bootstrap: object;
  let paths: string[];
  let expected: Record<string, number>;

  const ask = async (proxy: RunningProxy): Promise<Record<string, number>> => {
    const found: Record<string, number> = {};
    const each = [...paths];
    const run = async (): Promise<void> => {
      for (let path = each.shift(); path; path = each.shift()) {
        const bytes = `GET /${path}/ HTTP/1.1\r\nHost: main.test\r\nConnection: close\r\n\r\n`;
        const { responses } = await exchange(proxy.ports['web']!, bytes, ['GET']);
        found[path] = responses[0]!.status;
      }
    };
    await Promise.all(Array.from({ length: 8 }, run));
    return found;
  };

  beforeAll(async () => {
    const cases = await tlsCases();
    const ports = new Map<string, number>();
    for (const [name, own] of Object.entries(cases.clients)) {
      if (!own) continue;
      const server = createServer({ ...own, ...UPSTREAM }, (_, response) => response.end('in'));
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      servers.push(server);
      ports.set(name, (server.address() as AddressInfo).port);
    }
    const clusters: object[] = [];
    for (const [name, validation_context] of Object.entries(cases.validations))
      for (const server of cases.clientsOf(name).filter((each) => ports.has(each)))
        clusters.push(
          staticCluster(`${name}: ${server}`, ports.get(server), {
            transport_socket: {
              name: 'tls',
              typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
                sni: 'server.test',
                common_tls_context: { validation_context },
              }),
            },
          }),
        );
    const names = clusters.map((cluster) => (cluster as { name: string }).name);
    paths = names.map((name) => name.replace(/[^a-z0-9]+/g, '-'));
    const routes = names.map((name, i) => ({ ...prefix(`/${paths[i]}/`), ...to(name) }));
    bootstrap = {
      node: { id: 'tls', cluster: 'tls' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: { listeners: [listener('web', manager(routes, []))], clusters },
    };
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    expected = await ask(envoy);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    folder.dispose();
  });

  it('Envoy speaks to some and not to others', () => {
    expect(expected).toMatchObject({
      'crl-of-all-good': 200,
      'crl-of-all-revoked': 503,
      'crl-of-all-below-a-revoked-one': 503,
      'roots-alone-foreign': 503,
      // If it changes its mind, the list of differences is to be mended.
      'depth-1-deep': 200,
    });
  });

  it.each(RUNTIMES)('%s does as Envoy', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    const compared = (found: Record<string, number>) =>
      Object.fromEntries(Object.entries(found).filter(([path]) => !ENVOY_IGNORES.test(path)));
    const found = await ask(tulle);
    // Of two certificates of one root Envoy takes the first, outdated or not.
    const wanted = paths.map((path) => [path, expected[path.replace('roots-old-and-new', 'roots-alone')]!] as const);
    expect(compared(found)).toEqual(compared(Object.fromEntries(wanted)));
    expect(found).toMatchObject({
      'depth-1-direct': 200,
      'depth-1-good': 503,
      'depth-2-good': 200,
      'depth-2-deep': 503,
    });
  });
});
