/** tcp_proxy: half-close either way, weights, connect attempts; from one body on every runtime. */

import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, cluster, listener, tcp } from './bootstrap.ts';

const tuned = (more: object) => {
  const { cluster: _, ...config } = tcp('').typed_config;
  return { ...tcp(''), typed_config: { ...config, ...more } };
};
const weighted = (...clusters: [string, number][]) =>
  tuned({ weighted_clusters: { clusters: clusters.map(([name, weight]) => ({ name, weight })) } });

describe.each(RUNTIMES)('tcp_proxy on %s', (runtime) => {
  const folder = temporaryFolder();
  const servers: net.Server[] = [];
  let proxy: ProxyProcess;
  /** What the server that ends first was sent after it had ended. */
  let late = '';
  let lateEnded = false;

  const serve = (accept: (socket: net.Socket) => void) => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      accept(socket);
    });
    servers.push(server);
    return listening(server);
  };
  const named = (name: string) =>
    serve((socket) => {
      socket.end(name);
      socket.resume();
    });

  beforeAll(async () => {
    const own = await leaf(await rootAuthority('x'), { uri: 'spiffe://cluster.local/ns/a/sa/b' });
    const asker = await serve((socket) => {
      let got = '';
      socket.on('data', (bytes) => (got += bytes));
      socket.on('end', () => socket.end(`you said ${got}`));
    });
    const leaver = await serve((socket) => {
      late = '';
      lateEnded = false;
      socket.on('data', (bytes) => (late += bytes));
      socket.on('end', () => (lateEnded = true));
      socket.end('bye');
    });
    const secure = {
      name: 'tls',
      typed_config: {
        '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
        common_tls_context: {
          tls_certificates: [
            { certificate_chain: { inline_string: own.cert }, private_key: { inline_string: own.key } },
          ],
        },
      },
    };
    const live = await named('live');
    const both = cluster('both', live);
    const [group] = both.load_assignment.endpoints;
    // Port 1 of loopback refuses.
    group!.lb_endpoints.push({ endpoint: { address: at(1) } });
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          listener('asker', [tcp('asker')]),
          listener('leaver', [tcp('leaver')]),
          listener('asker-tls', [tcp('asker')], secure),
          listener('leaver-tls', [tcp('leaver')], secure),
          listener('weighted', [weighted(['a', 1], ['b', 3], ['c', 0])]),
          listener('again', [tuned({ cluster: 'both', max_connect_attempts: 2 })]),
          listener('once', [tuned({ cluster: 'both' })]),
        ],
        clusters: [
          cluster('asker', asker),
          cluster('leaver', leaver),
          cluster('a', await named('a')),
          cluster('b', await named('b')),
          cluster('c', await named('c')),
          both,
        ],
      },
      admin: { address: at(0) },
    });
    await proxy.ready();
  });

  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    for (const server of servers) server.close();
    folder.dispose();
  });

  const connect = (name: string): net.Socket =>
    name.endsWith('-tls')
      ? tls.connect({
          host: '127.0.0.1',
          port: proxy.ports[name]!,
          rejectUnauthorized: false,
          allowHalfOpen: true,
        } as tls.ConnectionOptions)
      : net.connect({ host: '127.0.0.1', port: proxy.ports[name]!, allowHalfOpen: true });
  /** Everything until the other side ends. */
  const all = (socket: net.Socket): Promise<string> =>
    new Promise((resolve) => {
      let got = '';
      socket.on('data', (bytes) => (got += bytes));
      socket.on('error', () => {});
      socket.on('end', () => resolve(got));
      socket.on('close', () => resolve(got));
    });
  const ask = async (name: string) => {
    const socket = connect(name);
    const got = await all(socket);
    socket.destroy();
    return got;
  };

  it.each(['asker', 'asker-tls'])('passes on that the client has ended, and the answer after it: %s', async (name) => {
    const socket = connect(name);
    const answer = all(socket);
    socket.end('something');
    expect(await answer).toBe('you said something');
  });

  it.each(['leaver', 'leaver-tls'])(
    'passes on that the server has ended, and what the client says after it: %s',
    async (name) => {
      const socket = connect(name);
      expect(await all(socket)).toBe('bye');
      socket.write('one more ');
      await until('the server hears it', () => late === 'one more ');
      socket.end('thing');
      await until('the server hears the rest and the end', () => late === 'one more thing' && lateEnded);
      await until('nothing is open', async () => {
        const text = (await proxy.admin('/stats?filter=^tcp.test.downstream_cx_active$')).body;
        return text === 'tcp.test.downstream_cx_active: 0\n';
      });
    },
  );

  it('shares connections out by weight', async () => {
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let i = 0; i < 200; i++) counts[await ask('weighted')]!++;
    expect(counts['c']).toBe(0);
    // One in four; seven standard deviations either way.
    expect(counts['a']).toBeGreaterThan(8);
    expect(counts['a']).toBeLessThan(92);
  });

  it('tries another endpoint as often as it may', async () => {
    for (let i = 0; i < 10; i++) expect(await ask('again')).toBe('live');
    const once = new Set<string>();
    for (let i = 0; i < 20; i++) once.add(await ask('once'));
    expect([...once].sort()).toEqual(['', 'live']);
  });
});
