/** Filter-chain match beside a real Envoy: the same listeners, the same connections, the same chain. */
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { closedPort } from '../../kit/ports.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { listening } from '../../kit/upstream.ts';
import { staticCluster } from '../shared-file/bootstrap.ts';

const ANY = 'type.googleapis.com/envoy.extensions.';
const range = (text: string) => ({ address_prefix: text.split('/')[0], prefix_len: Number(text.split('/')[1]) });
const inspector = (kind: string) => ({
  name: `envoy.filters.listener.${kind}`,
  typed_config: {
    '@type': `${ANY}filters.listener.${kind}.v3.${kind === 'tls_inspector' ? 'TlsInspector' : 'HttpInspector'}`,
  },
});

/** Chains by name; `PORT` means the listener's own port. */
const LISTENERS: Record<string, { chains: Record<string, object>; fallback?: boolean; inspectors: string[] }> = {
  names: {
    inspectors: ['tls_inspector'],
    chains: {
      exact: { server_names: ['a.b.example'] },
      near: { server_names: ['*.b.example'] },
      far: { server_names: ['*.example'] },
      plain: { transport_protocol: 'raw_buffer' },
    },
  },
  addresses: {
    inspectors: ['tls_inspector', 'http_inspector'],
    fallback: true,
    chains: {
      one: { prefix_ranges: [range('127.0.0.2/32')] },
      few: { prefix_ranges: [range('127.0.0.0/30')], source_type: 'EXTERNAL' },
      some: { prefix_ranges: [range('127.0.1.0/24')], direct_source_prefix_ranges: [range('127.0.0.5/32')] },
      other: { prefix_ranges: [range('127.0.1.0/24')], source_prefix_ranges: [range('127.0.0.0/29')] },
      port: { destination_port: 'PORT', prefix_ranges: [range('127.0.2.0/24')], source_type: 'SAME_IP_OR_LOOPBACK' },
    },
  },
  protocols: {
    inspectors: ['http_inspector', 'tls_inspector'],
    chains: {
      mesh: { transport_protocol: 'tls', application_protocols: ['istio', 'istio-http/1.1'] },
      named: { transport_protocol: 'tls', server_names: ['a.example'], application_protocols: ['h2'] },
      tls: { transport_protocol: 'tls' },
      web: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] },
      old: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.0'] },
      raw: { transport_protocol: 'raw_buffer' },
    },
  },
  noback: {
    inspectors: ['tls_inspector'],
    fallback: true,
    chains: {
      narrow: { destination_port: 'PORT', server_names: ['only.example'] },
      any: {},
    },
  },
  sources: {
    inspectors: ['tls_inspector'],
    chains: {
      loop: { source_type: 'SAME_IP_OR_LOOPBACK' },
      near: { source_type: 'EXTERNAL', source_prefix_ranges: [range('127.0.0.0/24')] },
      wide: { source_prefix_ranges: [range('127.0.0.0/8')] },
    },
  },
};

interface Probe {
  listener: string;
  to?: string;
  from?: string;
  tls?: { servername?: string; ALPNProtocols?: string[] };
  text?: string;
}
const hello = (servername?: string, ...ALPNProtocols: string[]) => ({
  tls: { ...(servername && { servername }), ...(ALPNProtocols.length > 0 && { ALPNProtocols }) },
});
const PROBES: Record<string, Probe> = {
  'exact name': { listener: 'names', ...hello('a.b.example') },
  'name in upper case': { listener: 'names', ...hello('A.B.Example') },
  'longest wildcard': { listener: 'names', ...hello('x.b.example') },
  'wildcard over two labels': { listener: 'names', ...hello('x.y.b.example') },
  'wider wildcard': { listener: 'names', ...hello('b.example') },
  'no wildcard for its own domain': { listener: 'names', ...hello('example') },
  'no name': { listener: 'names', ...hello() },
  'plain text': { listener: 'names', text: 'hello\n' },
  'one address': { listener: 'addresses', to: '127.0.0.2', text: 'hello\n' },
  'range, source not loopback': { listener: 'addresses', to: '127.0.0.3', from: '127.0.0.9', text: 'hello\n' },
  'range, loopback source': { listener: 'addresses', to: '127.0.0.3', text: 'hello\n' },
  'range, same address': { listener: 'addresses', to: '127.0.0.3', from: '127.0.0.3', text: 'hello\n' },
  'direct source': { listener: 'addresses', to: '127.0.1.1', from: '127.0.0.5', text: 'hello\n' },
  'source range': { listener: 'addresses', to: '127.0.1.1', from: '127.0.0.6', text: 'hello\n' },
  'source of no range': { listener: 'addresses', to: '127.0.1.1', from: '127.0.0.77', text: 'hello\n' },
  'port before address': { listener: 'addresses', to: '127.0.2.1', text: 'hello\n' },
  'port taken, address not': { listener: 'addresses', to: '127.0.0.2', from: '127.0.0.2', text: 'hello\n' },
  'mesh alpn': { listener: 'protocols', ...hello(undefined, 'h2', 'istio') },
  'name before protocol': { listener: 'protocols', ...hello('a.example', 'istio', 'h2') },
  'name, protocol not': { listener: 'protocols', ...hello('a.example', 'istio') },
  'foreign tls': { listener: 'protocols', ...hello('b.example', 'h2') },
  'http/1.1': { listener: 'protocols', text: 'GET / HTTP/1.1\r\nhost: a\r\n\r\n' },
  'http/1.0': { listener: 'protocols', text: 'GET / HTTP/1.0\r\n\r\n' },
  'unknown method': { listener: 'protocols', text: 'BREW /pot HTTP/1.1\r\nhost: a\r\n\r\n' },
  'http/1.3': { listener: 'protocols', text: 'GET / HTTP/1.3\r\n\r\n' },
  'http/2.0': { listener: 'protocols', text: 'GET / HTTP/2.0\r\n\r\n' },
  'http/0.9': { listener: 'protocols', text: 'GET /\r\n' },
  'unknown method without version': { listener: 'protocols', text: 'EHLO /me\r\n' },
  'no path without version': { listener: 'protocols', text: 'GET me\r\n' },
  'no path': { listener: 'protocols', text: 'GET me HTTP/1.1\r\n\r\n' },
  'connect to an address': { listener: 'protocols', text: 'CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n' },
  'absolute form': { listener: 'protocols', text: 'GET http://a.example/ HTTP/1.1\r\n\r\n' },
  'star form': { listener: 'protocols', text: 'OPTIONS * HTTP/1.1\r\n\r\n' },
  'a tab': { listener: 'protocols', text: 'GET\t/ HTTP/1.1\r\n\r\n' },
  'leading line end': { listener: 'protocols', text: '\r\nGET / HTTP/1.1\r\n\r\n' },
  'http/11.1': { listener: 'protocols', text: 'GET / HTTP/11.1\r\n\r\n' },
  'lower-case http': { listener: 'protocols', text: 'GET / http/1.1\r\n\r\n' },
  'bare line feed': { listener: 'protocols', text: 'GET / HTTP/1.1\nhost: a\n\n' },
  'two spaces': { listener: 'protocols', text: 'GET  / HTTP/1.1\r\nhost: a\r\n\r\n' },
  'h2c preface': { listener: 'protocols', text: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  'not http': { listener: 'protocols', text: 'EHLO me\r\n' },
  'port and name': { listener: 'noback', ...hello('only.example') },
  'port, other name': { listener: 'noback', ...hello('other.example') },
  'loopback source': { listener: 'sources', text: 'hello\n' },
  'another loopback address': { listener: 'sources', from: '127.0.0.5', text: 'hello\n' },
  'far source': { listener: 'sources', from: '127.0.9.9', text: 'hello\n' },
};

/** What Envoy makes of chains that may not stand together. */
const REFUSALS: Record<string, { chains: object[] }> = {
  'equal chains': { chains: [{ server_names: ['a'] }, { server_names: ['a'] }] },
  'equal ranges written differently': {
    chains: [{ prefix_ranges: [range('10.1.2.3/8')] }, { prefix_ranges: [range('10.0.0.0/8')] }],
  },
  'lists that overlap': { chains: [{ server_names: ['a', 'b'] }, { server_names: ['b', 'c'] }] },
  'a wildcard in the middle': { chains: [{ server_names: ['a.*.b'] }] },
  'ports that overlap': { chains: [{ source_ports: [1, 2] }, { source_ports: [2] }] },
  'two without criteria': { chains: [{}, {}] },
  'different lists': { chains: [{ source_ports: [1] }, { source_ports: [2] }, {}] },
  'names in different case': { chains: [{ server_names: ['a.example'] }, { server_names: ['A.example'] }] },
};

/** What a TLS client says first. */
function recordHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) =>
      socket.once('data', (bytes) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      }),
    );
    void listening(server).then((port) => tls.connect({ host: '127.0.0.1', port, ...options }).on('error', () => {}));
  });
}

function say(port: number, probe: Probe, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect({
      host: probe.to ?? '127.0.0.1',
      port,
      ...(probe.from && { localAddress: probe.from }),
    });
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (part) => (got += part));
    socket.on('error', () => {});
    // A proxy that still waits for more is an answer too.
    socket.setTimeout(3000, () => {
      got += 'silent';
      socket.destroy();
    });
    socket.on('close', () => resolve(got || 'closed'));
  });
}

const tcp = (cluster: string) => ({
  name: 'tcp',
  typed_config: { '@type': `${ANY}filters.network.tcp_proxy.v3.TcpProxy`, stat_prefix: 't', cluster },
});

describe.skipIf(!ENVOY)('filter-chain match beside Envoy', () => {
  const folder = temporaryFolder();
  const servers: net.Server[] = [];
  const proxies: { proxy: RunningProxy; ports: Record<string, number> }[] = [];
  const upstreams: Record<string, number> = {};

  const bootstrap = async () => {
    const ports: Record<string, number> = {};
    const listeners: object[] = [];
    for (const [name, { chains, fallback, inspectors }] of Object.entries(LISTENERS)) {
      const port = (ports[name] = await closedPort());
      listeners.push({
        name,
        address: { socket_address: { address: '0.0.0.0', port_value: port } },
        listener_filters: inspectors.map(inspector),
        filter_chains: Object.entries(chains).map(([chain, match]) => ({
          name: chain,
          filter_chain_match: JSON.parse(JSON.stringify(match).replace('"PORT"', String(port))),
          filters: [tcp(`${name}-${chain}`)],
        })),
        ...(fallback && { default_filter_chain: { name: 'default', filters: [tcp(`${name}-default`)] } }),
      });
    }
    const clusters = Object.entries(upstreams).map(([name, port]) => staticCluster(name, port));
    return {
      ports,
      config: {
        node: { id: 'x', cluster: 'x' },
        admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
        static_resources: { listeners, clusters },
      },
    };
  };

  beforeAll(async () => {
    for (const [name, { chains }] of Object.entries(LISTENERS))
      for (const chain of [...Object.keys(chains), 'default']) {
        const server = net.createServer((socket) => {
          socket.on('error', () => {});
          socket.once('data', () => socket.end(chain));
        });
        servers.push(server);
        upstreams[`${name}-${chain}`] = await listening(server);
      }
    const first = await bootstrap();
    proxies.push({ proxy: await startEnvoy(first.config, folder.path), ports: first.ports });
    for (const runtime of RUNTIMES) {
      const made = await bootstrap();
      proxies.push({ proxy: await startTulle(runtime, made.config, folder.path), ports: made.ports });
    }
  });

  afterAll(async () => {
    for (const { proxy } of proxies) await proxy.stop();
    for (const server of servers) server.close();
    folder.dispose();
  });

  it('chooses the same chain for every connection', async () => {
    const table: Record<string, Record<string, string>> = {};
    for (const [name, probe] of Object.entries(PROBES)) {
      const bytes = probe.text === undefined ? await recordHello(probe.tls ?? {}) : Buffer.from(probe.text);
      const row: Record<string, string> = (table[name] = {});
      for (const { proxy, ports } of proxies) row[proxy.name] = await say(ports[probe.listener]!, probe, bytes);
    }
    const expected = Object.fromEntries(
      Object.entries(table).map(([name, row]) => [
        name,
        Object.fromEntries(Object.keys(row).map((proxy) => [proxy, row['envoy']])),
      ]),
    );
    expect(table).toEqual(expected);
    expect(new Set(Object.values(table).map((row) => row['envoy'])).size).toBeGreaterThanOrEqual(15);
  });

  it.each(Object.entries(REFUSALS))('refuses as Envoy does: %s', async (name, { chains }) => {
    const config = {
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: chains.map((match) => ({ filter_chain_match: match, filters: [tcp('c')] })),
          },
        ],
        clusters: [staticCluster('c', 1)],
      },
    };
    const file = join(folder.path, `refused-${name.replaceAll(' ', '-')}.json`);
    writeFileSync(file, JSON.stringify(config));
    const envoyRefuses = envoyErrors(file) !== '';
    const tulle = await startTulle('node', config, folder.path).then(
      async (proxy) => {
        await proxy.stop();
        return false;
      },
      () => true,
    );
    expect(tulle).toBe(envoyRefuses);
  });
});
