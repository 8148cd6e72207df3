/** Which clients a TLS context lets in: the same from Envoy and from Tulle, for every context and every certificate. */
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { type TlsCases, tlsCases } from './tls-contexts.ts';

/** Of two certificates of one root Envoy takes the first, outdated or not: docs/differences-from-envoy.md. */
const OLD_AND_NEW = 'roots old and new';

describe.skipIf(!ENVOY)('TLS contexts', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  let cases: TlsCases;
  let bootstrap: object;
  let expected: Record<string, boolean>;

  const isLetIn = (port: number, client: { cert: string; key: string } | undefined): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port,
        servername: 'server.test',
        rejectUnauthorized: false,
        ...(client && { cert: client.cert, key: client.key }),
      });
      socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: main.test\r\nconnection: close\r\n\r\n'));
      socket.on('data', (bytes) => {
        resolve(String(bytes).startsWith('HTTP/1.1 200'));
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(false));
    });
  const ask = async (proxy: RunningProxy): Promise<Record<string, boolean>> => {
    const each = Object.keys(cases.listeners).flatMap((name) =>
      cases.clientsOf(name).map((client) => [name, client] as const),
    );
    const found: Record<string, boolean> = Object.fromEntries(
      each.map(([name, client]) => [`${name}: ${client}`, false]),
    );
    const run = async (): Promise<void> => {
      for (let next = each.shift(); next; next = each.shift())
        found[next.join(': ')] = await isLetIn(proxy.ports[next[0]]!, cases.clients[next[1]]);
    };
    await Promise.all(Array.from({ length: 8 }, run));
    return found;
  };

  beforeAll(async () => {
    cases = await tlsCases();
    bootstrap = {
      node: { id: 'tls', cluster: 'tls' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
      static_resources: { listeners: Object.values(cases.listeners), clusters: [] },
    };
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    expected = await ask(envoy);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    folder.dispose();
  });

  it('Envoy lets some in and others not', () => {
    expect(expected).toMatchObject({
      'crl of all, required: good': true,
      'crl of all, required: revoked': false,
      'crl of all, required: below a revoked one': false,
      'crl of the root alone, required: good': false,
      'crl of the root alone, required: direct': true,
      'crl of long serials, required: good': true,
      'crl of long serials, required: high serial': false,
      'crl of a name in other letters, required: good': true,
      'crl of a mute one, required: below a mute one': false,
      'name uri, required: good': true,
      'name uri, required: direct': false,
      'roots alone, required: good': true,
      [`${OLD_AND_NEW}, required: good`]: false,
    });
  });

  it.each(RUNTIMES)('%s does as Envoy', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    const wanted = Object.keys(expected).map((key) => [key, expected[key.replace(OLD_AND_NEW, 'roots alone')]]);
    expect(await ask(tulle)).toEqual(Object.fromEntries(wanted));
  });
});
