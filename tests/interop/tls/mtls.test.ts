import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type Echo, startEcho } from '../harness/echo.ts';
import { exchange } from '../harness/raw-client.ts';
import { listener, manager, staticCluster } from '../shared-file/bootstrap.ts';
import { authorityIn, clientSocket, type SvidFiles, serverSocket, svidFiles } from './svids.ts';

const route = (cluster: string) => [{ match: { prefix: '/' }, route: { cluster, timeout: '5s' } }];
const at = { socket_address: { address: '127.0.0.1', port_value: 0 } };
const bootstrap = (listeners: object[], clusters: object[]) => ({
  node: { id: 'mtls', cluster: 'mtls' },
  admin: { address: at },
  static_resources: { listeners, clusters },
});

describe.skipIf(!ENVOY)('mTLS between Envoy and Tulle, with certificates of our authority', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const identities = new Map<string, SvidFiles>();
  let echo: Echo;

  const identity = (name: string) => identities.get(name)!;
  const keep = (proxy: RunningProxy) => {
    proxies.push(proxy);
    return proxy;
  };
  /** The server side: lets in `client` alone, tells the application who called. */
  const inbound = () => {
    const details = {
      forward_client_cert_details: 'SANITIZE_SET',
      set_current_client_cert_details: { uri: true },
    };
    const socket = serverSocket(identity('server'), identity('client').id);
    return bootstrap([listener('in', manager(route('app'), [], details), socket)], [staticCluster('app', echo.port)]);
  };
  /** The client side: three callers, one right, one with a wrong certificate, one that expects another server. */
  const outbound = (port: number) => {
    const server = identity('server').id;
    const callers: [string, object][] = [
      ['right', clientSocket(identity('client'), server)],
      ['stranger', clientSocket(identity('stranger'), server)],
      ['foreign', clientSocket(identity('foreign'), server)],
      ['careful', clientSocket(identity('client'), identity('stranger').id)],
    ];
    return bootstrap(
      [
        ...callers.map(([name]) => listener(name, manager(route(name), []))),
        listener('plain', manager(route('plain'), [])),
      ],
      [
        ...callers.map(([name, socket]) => staticCluster(name, port, { transport_socket: socket })),
        staticCluster('plain', port),
      ],
    );
  };
  const call = async (proxy: RunningProxy, from: string) => {
    const bytes = 'GET /x HTTP/1.1\r\nHost: main.test\r\nX-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n';
    const { responses } = await exchange(proxy.ports[from]!, bytes, ['GET']);
    return responses[0]!;
  };
  const check = async (client: RunningProxy) => {
    const right = await call(client, 'right');
    expect(right.status, right.body).toBe(200);
    const { headers } = JSON.parse(right.body) as { headers: [string, string][] };
    const cert = headers.filter(([key]) => key === 'x-forwarded-client-cert').map(([, value]) => value);
    expect(cert).toHaveLength(1);
    expect(cert[0]).toContain(`URI=${identity('client').id}`);
    expect(cert[0]).not.toContain('forged');
    for (const from of ['stranger', 'foreign', 'careful', 'plain']) {
      const refused = await call(client, from);
      expect([from, refused.status]).toEqual([from, 503]);
      expect(refused.body).toMatch(/^upstream connect error/);
    }
  };

  beforeAll(async () => {
    echo = await startEcho('app');
    const authority = await authorityIn(`${folder.path}/ca`);
    for (const name of ['server', 'client', 'stranger'])
      identities.set(name, await svidFiles(authority, folder.path, name));
    // The right name from another authority of the same trust domain.
    const other = temporaryFolder();
    const forged = await svidFiles(await authorityIn(`${other.path}/ca`), other.path, 'client');
    identities.set('foreign', { ...forged, roots: identity('client').roots });
    cleanup = other.dispose;
  });
  let cleanup = () => {};
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    echo.stop();
    cleanup();
    folder.dispose();
  });

  it.each(RUNTIMES)('Envoy calls, Tulle on %s is called', async (runtime) => {
    const tulle = keep(await startTulle(runtime, inbound(), folder.path));
    await check(keep(await startEnvoy(outbound(tulle.ports['in']!), folder.path, `envoy-to-${runtime}`)));
  });

  it.each(RUNTIMES)('Tulle on %s calls, Envoy is called', async (runtime) => {
    const envoy = keep(await startEnvoy(inbound(), folder.path, `envoy-from-${runtime}`));
    await check(keep(await startTulle(runtime, outbound(envoy.ports['in']!), folder.path)));
  });
});
