/**
 * Peers that fall silent: amid a TLS handshake, before they have said what they speak, in a tunnel, as readers of an answer, as
 * applications. A peer that vanished without a FIN looks the same to a proxy: nothing comes, nothing is taken.
 */
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, cluster, hcm, listener, secretOf, serverTls, tcp } from './bootstrap.ts';

const BIG = Buffer.alloc(64 * 1024 * 1024, 'x');

const tuned = (to: string, prefix: string, more: object) => {
  const filter = hcm(to);
  return { ...filter, typed_config: { ...filter.typed_config, stat_prefix: prefix, ...more } };
};
const tcpIdle = (to: string, prefix: string) => {
  const filter = tcp(to);
  return { ...filter, typed_config: { ...filter.typed_config, stat_prefix: prefix, idle_timeout: '0.5s' } };
};
const inspector = (name: string, type: string) => ({
  name: `envoy.filters.listener.${name}`,
  typed_config: { '@type': `${ANY}envoy.extensions.filters.listener.${name}.v3.${type}` },
});

describe.each(RUNTIMES)('a peer that falls silent on %s', (runtime) => {
  const folder = temporaryFolder();
  let proxy: ProxyProcess;
  let app: http.Server;
  let mute: net.Server;
  const taken = new Set<net.Socket>();
  const hold = (socket: net.Socket) => {
    taken.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => taken.delete(socket));
  };

  beforeAll(async () => {
    const root = await rootAuthority('root');
    const own = await leaf(root, { uri: 'spiffe://cluster.local/ns/default/sa/proxy' });
    app = http.createServer(UPSTREAM, (_, answer) => {
      answer.on('error', () => {});
      answer.end(BIG);
    });
    app.on('upgrade', (_, socket: net.Socket) => {
      hold(socket);
      socket.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: talk\r\n\r\n');
      socket.pipe(socket);
    });
    mute = net.createServer((socket) => {
      hold(socket);
      socket.resume();
    });
    const [appPort, mutePort] = [await listening(app), await listening(mute)];
    const times = { stream_idle_timeout: '0.6s' };
    const secure = listener('secure', [tuned('app', 'secure', {})], serverTls);
    const hasty = { ...secure.filterChains[0], transport_socket_connect_timeout: '0.4s' };
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          { ...secure, filterChains: [hasty], listener_filters_timeout: '1s' },
          {
            ...listener('sniffed', [tuned('app', 'sniffed', {})]),
            listener_filters: [inspector('http_inspector', 'HttpInspector')],
            listener_filters_timeout: '1s',
          },
          listener('stalled', [tuned('app', 'stalled', times)]),
          listener('tunnel', [
            tuned('app', 'tunnel', { stream_idle_timeout: '1.5s', upgrade_configs: [{ upgrade_type: 'talk' }] }),
          ]),
          listener('unanswered', [tuned('mute', 'unanswered', times)]),
          listener('bytes', [tcpIdle('app', 'bytes')]),
        ],
        clusters: [cluster('app', appPort), cluster('mute', mutePort)],
        secrets: [secretOf(own), { name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: pem(root) } } }],
      },
      admin: { address: at(0) },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    app.closeAllConnections();
    app.close();
    for (const socket of taken) socket.destroy();
    mute.close();
    folder.dispose();
  });

  const stats = async (): Promise<Map<string, number>> => {
    const { body } = await proxy.admin('/stats');
    return new Map(body.split('\n').map((line) => [line.split(': ')[0]!, Number(line.split(': ')[1])]));
  };
  const stat = async (name: string) => (await stats()).get(name) ?? 0;
  /** Of the listener on this port, whatever its address is written as. */
  const listenerStat = async (name: string) => {
    let sum = 0;
    for (const [key, value] of await stats()) if (key.startsWith('listener.') && key.endsWith(`.${name}`)) sum += value;
    return sum;
  };
  const open = (name: string): Promise<net.Socket> =>
    new Promise((resolve) => {
      const socket = net.connect({ port: proxy.ports[name]!, host: '127.0.0.1' }, () => resolve(socket));
      socket.on('error', () => {});
    });
  const closed = (socket: net.Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

  it('amid a TLS handshake', async () => {
    const before = await listenerStat('downstream_cx_transport_socket_connect_timeout');
    // A whole hello, as any client's; then nothing.
    const hello = await new Promise<Buffer>((resolve) => {
      const catcher = net.createServer((caught) =>
        caught.once('data', (bytes) => {
          resolve(bytes);
          caught.destroy();
          catcher.close();
        }),
      );
      catcher.listen(0, '127.0.0.1', () => {
        tls.connect({ port: (catcher.address() as net.AddressInfo).port, host: '127.0.0.1' }).on('error', () => {});
      });
    });
    const socket = await open('secure');
    const begun = performance.now();
    socket.resume().write(hello);
    await closed(socket);
    expect(performance.now() - begun).toBeGreaterThan(300);
    expect(await listenerStat('downstream_cx_transport_socket_connect_timeout')).toBe(before + 1);
  });

  it.each([
    ['secure', ''],
    ['secure', '\x16\x03\x01\x02'],
    ['sniffed', ''],
    ['sniffed', 'GE'],
  ])('before %s knows what it speaks: %j', async (name, begin) => {
    const before = await listenerStat('downstream_pre_cx_timeout');
    const socket = await open(name);
    socket.resume().write(begin);
    await closed(socket);
    expect(await listenerStat('downstream_pre_cx_timeout')).toBe(before + 1);
  });

  it('as the reader of an answer', async () => {
    const socket = await open('stalled');
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await until('the stream is given up', async () => (await stat('http.stalled.downstream_rq_idle_timeout')) === 1);
    await until('nothing is left of it', async () => (await listenerStat('downstream_cx_active')) === 0);
    // And the application is not kept waiting either.
    await until('no upstream connection either', async () => (await connections(app)) === 0);
    socket.destroy();
  });

  it('at either end of a tunnel', async () => {
    const socket = await open('tunnel');
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: talk\r\n\r\n');
    let got = '';
    socket.on('data', (bytes) => (got += bytes));
    await until('it is open', () => got.includes('101'));
    // As long as something is said it stays.
    const begun = performance.now();
    while (performance.now() - begun < 2000) {
      const length = got.length;
      socket.write('?');
      await until('the echo', () => got.length > length);
    }
    await closed(socket);
    await until('the application is notified of it', () => taken.size === 0);
    expect(await stat('http.tunnel.downstream_rq_idle_timeout')).toBe(1);
  });

  it('as an application', async () => {
    const answer = await fetch(`http://127.0.0.1:${proxy.ports['unanswered']}/`, { headers: { connection: 'close' } });
    expect(answer.status).toBe(504);
    await until('its connection is closed', () => taken.size === 0);
  });

  it('at either end of a byte stream, with bytes on their way', async () => {
    const socket = await open('bytes');
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await until('it is given up', async () => (await stat('tcp.bytes.idle_timeout')) === 1);
    await until('at the other end, too', async () => (await connections(app)) === 0);
    socket.destroy();
  });
});

const connections = (server: http.Server): Promise<number> =>
  new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
