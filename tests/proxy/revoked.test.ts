/**
 * Policies that come while streams are open: tunnels, long responses and connections that may not stay end after the drain
 * time, the others live on. From one body on every runtime.
 */
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { until } from '../kit/waiting.ts';
import { ANY, cluster, hcm, listener, tcp } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';

const DRAIN_MS = 1500;

/** Denies a user, an address, or neither. */
interface Denied {
  user?: string;
  address?: string;
}
const rules = ({ user, address }: Denied) => ({
  action: 'DENY',
  policies: {
    ...(user && {
      p: {
        permissions: [{ url_path: { path: { prefix: '/asked' } } }],
        principals: [{ header: { name: 'x-user', string_match: { exact: user } } }],
      },
    }),
    ...(address && {
      p: {
        permissions: [{ any: true }],
        principals: [{ direct_remote_ip: { address_prefix: address, prefix_len: 32 } }],
      },
    }),
  },
});

/** The route changes what policies judge: the path, and the header that names the user. */
function web(denied: Denied) {
  const manager = hcm('app');
  const [router] = manager.typed_config.http_filters;
  return {
    ...manager,
    typed_config: {
      ...manager.typed_config,
      route_config: {
        name: 'local',
        virtual_hosts: [
          {
            name: 'all',
            domains: ['*'],
            routes: [
              {
                match: { connect_matcher: {} },
                route: { cluster: 'bytes', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
              },
              {
                match: { prefix: '/asked' },
                route: { cluster: 'app', prefix_rewrite: '/sent', timeout: '0s' },
                request_headers_to_remove: ['x-user'],
              },
            ],
          },
        ],
      },
      upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }],
      http_filters: [
        {
          name: 'envoy.filters.http.rbac',
          typed_config: {
            '@type': `${ANY}envoy.extensions.filters.http.rbac.v3.RBAC`,
            rules: denied.address ? rules(denied) : rules({ user: denied.user ?? 'none' }),
          },
        },
        router!,
      ],
    },
  };
}
const raw = (denied: Denied) => [
  {
    name: 'envoy.filters.network.rbac',
    typed_config: {
      '@type': `${ANY}envoy.extensions.filters.network.rbac.v3.RBAC`,
      stat_prefix: 'r',
      rules: rules(denied),
    },
  },
  tcp('bytes'),
];
const bySni = (...names: string[]) => ({
  ...listener('sni', [tcp('bytes')]),
  filterChains: [
    { filters: [tcp('bytes')] },
    ...names.map((name) => ({ filterChainMatch: { serverNames: [name] }, filters: [tcp('others')] })),
  ],
});

/** What a TLS client sends first. */
async function clientHello(servername: string): Promise<Buffer> {
  const server = net.createServer();
  const hello = new Promise<Buffer>((resolve) =>
    server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes) => {
        resolve(bytes);
        socket.destroy();
      });
    }),
  );
  tls.connect({ port: await listening(server), host: '127.0.0.1', servername }).on('error', () => {});
  const bytes = await hello;
  server.close();
  return bytes;
}

describe.each(RUNTIMES)('streams under a new policy on %s', (runtime) => {
  const app = http.createServer((_, response) => {
    const timer = setInterval(() => response.write('tick '), 20);
    response.on('close', () => clearInterval(timer));
  });
  app.on('upgrade', (_, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
  const bytes = net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
  const open: net.Socket[] = [];
  let proxy: DrivenProxy;
  let ports: Record<string, number>;

  beforeAll(async () => {
    proxy = new DrivenProxy(runtime, DRAIN_MS);
    const echo = await listening(bytes);
    await proxy.apply({
      clusters: {
        upsert: [cluster('app', await listening(app)), cluster('bytes', echo), cluster('others', echo)],
        remove: [],
      },
    });
    ({ ports } = await push({}, {}, ['other.test']));
  });
  afterAll(async () => {
    for (const socket of open) socket.destroy();
    await proxy?.stop();
    closeServers(app, bytes);
  });

  const push = (denied: Denied, deniedRaw: Denied, names: readonly string[]) =>
    proxy.apply({
      listeners: {
        upsert: [listener('web', [web(denied)]), listener('raw', raw(deniedRaw)), bySni(...names)],
        remove: [],
      },
    });

  /** A connection, all it was sent, and whether it lives. */
  class Client {
    readonly socket: net.Socket;
    got = '';
    closed = false;
    constructor(name: string, sent: string | Buffer, localAddress = '127.0.0.1') {
      this.socket = net.connect({ port: ports[name]!, host: '127.0.0.1', localAddress });
      open.push(this.socket);
      this.socket.on('error', () => {});
      this.socket.on('data', (data) => (this.got += data.toString('latin1')));
      this.socket.on('close', () => (this.closed = true));
      this.socket.write(sent);
    }
    saw(text: string) {
      return until(`${JSON.stringify(text)} comes`, () => this.got.includes(text));
    }
    /** Bytes still come through. */
    async lives(): Promise<void> {
      const before = this.got.length;
      this.socket.write('ping');
      await until('more comes', () => this.got.length > before);
      expect(this.closed).toBe(false);
    }
  }
  const get = (user: string, more = '') => `GET /asked HTTP/1.1\r\nHost: a\r\nX-User: ${user}\r\n${more}\r\n`;
  const socketOf = async (user: string) => {
    const client = new Client('web', get(user, 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    await client.saw('101');
    return client;
  };
  const ended = (client: Client, since: number) =>
    until('it has ended', () => client.closed).then(() =>
      // Timers may fire a little early.
      expect(performance.now() - since).toBeGreaterThan(DRAIN_MS - 50),
    );

  it('ends WebSockets and long responses of who is denied, judged by the head that was asked', async () => {
    const [allowed, denied] = [await socketOf('alice'), await socketOf('mallory')];
    const [reader, leaver] = [new Client('web', get('alice')), new Client('web', get('mallory'))];
    for (const one of [reader, leaver]) await one.saw('tick');
    const since = performance.now();
    await push({ user: 'mallory' }, {}, ['other.test']);
    await denied.lives();
    await Promise.all([ended(denied, since), ended(leaver, since)]);
    await allowed.lives();
    await reader.saw('tick');
    const late = new Client('web', get('mallory'));
    await late.saw('403');
    // Once more, so that who has been judged before is judged by this policy, too.
    const again = performance.now();
    await push({ user: 'alice' }, {}, ['other.test']);
    await Promise.all([ended(allowed, again), ended(reader, again)]);
  });

  it('ends CONNECT tunnels', async () => {
    await push({}, {}, ['other.test']);
    const connect = 'CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n';
    const denied = new Client('web', connect, '127.0.0.2');
    const allowed = new Client('web', connect);
    for (const one of [denied, allowed]) await one.saw('200');
    const since = performance.now();
    await push({ address: '127.0.0.2' }, {}, ['other.test']);
    await ended(denied, since);
    await allowed.lives();
  });

  it('ends plain connections', async () => {
    const denied = new Client('raw', 'hello', '127.0.0.2');
    const allowed = new Client('raw', 'hello');
    for (const one of [denied, allowed]) await one.saw('hello');
    const since = performance.now();
    await push({}, { address: '127.0.0.2' }, ['other.test']);
    await denied.lives();
    await ended(denied, since);
    await allowed.lives();
  });

  it('ends a connection whose server name belongs to another chain now', async () => {
    const moved = new Client('sni', await clientHello('a.test'));
    const stays = new Client('sni', await clientHello('b.test'));
    for (const one of [moved, stays]) await until('it is echoed', () => one.got.length > 100);
    const since = performance.now();
    await push({}, {}, ['other.test', 'a.test']);
    await ended(moved, since);
    await stays.lives();
  });

  it('ends a connection of which it cannot be known where it belongs now', async () => {
    const unread = new Client('raw', 'hello');
    await unread.saw('hello');
    const since = performance.now();
    const [chain] = listener('raw', raw({})).filterChains;
    const inspected = { filters: [tcp('others')], filterChainMatch: { serverNames: ['a.test'] } };
    await proxy.apply({
      listeners: { upsert: [{ ...listener('raw', raw({})), filterChains: [chain, inspected] }], remove: [] },
    });
    await ended(unread, since);
  });
});
