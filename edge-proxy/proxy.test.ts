import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { type Leaf, leaf, pem, rootAuthority } from '../tests/mtls/certificates.ts';
import { proxyCompilers } from './config/compilers.ts';
// biome-ignore lint/suspicious/noShadowRestrictedNames: the mesh proxy
import { Proxy } from './proxy.ts';
import { currentRuntime } from './runtime/index.ts';
import { BootstrapError, loadBootstrap, runBootstrap } from './static.ts';

const compilers = proxyCompilers(
  currentRuntime(),
  () => () => {},
  () => ({ opened() {}, closed() {} }),
);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function proxy(): Proxy {
  const made = new Proxy(currentRuntime(), { compilers, warn: () => {} });
  cleanups.push(() => made.stop());
  return made;
}

async function application(body: string): Promise<number> {
  const server = http.createServer((_, response) => response.end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

async function echo(): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let got = '';
    socket.on('data', (bytes) => (got += bytes));
    socket.on('end', () => socket.end(`echo:${got}`));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => server.close());
  return (server.address() as net.AddressInfo).port;
}

const cluster = (name: string, port: number, transportSocket?: object) => ({
  name,
  type: 'STATIC',
  load_assignment: {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] },
    ],
  },
  ...(transportSocket ? { transportSocket } : {}),
});
const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const ANY = 'type.googleapis.com/';
const hcm = (to: string) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type': `${ANY}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'test',
    route_config: {
      name: 'local',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: to } }] }],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${ANY}envoy.extensions.filters.http.router.v3.Router` },
      },
    ],
  },
});
const tcp = (to: string) => ({
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: {
    '@type': `${ANY}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: 'test',
    cluster: to,
  },
});
const listener = (name: string, filters: object[], transportSocket?: object, port = 0) => ({
  name,
  address: at(port),
  filterChains: [{ filters, ...(transportSocket ? { transportSocket } : {}) }],
});
const secretOf = (certificate: Leaf) => ({
  name: 'default',
  tls_certificate: {
    certificate_chain: { inline_string: certificate.cert },
    private_key: { inline_string: certificate.key },
  },
});
const commonTls = {
  tls_certificate_sds_secret_configs: [{ name: 'default' }],
  validation_context_sds_secret_config: { name: 'ROOTCA' },
  alpn_protocols: ['istio'],
};
const serverTls = {
  name: 'tls',
  typed_config: {
    '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: commonTls,
    require_client_certificate: true,
  },
};
const clientTls = {
  name: 'tls',
  typed_config: {
    '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
    common_tls_context: commonTls,
    sni: 'outbound_.80_._.b.default.svc.cluster.local',
  },
};

async function get(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
  return `${response.status} ${await response.text()}`;
}

function talk(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
    socket.on('data', (bytes) => (got += bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
}

describe('Proxy', () => {
  it('runs a bootstrap file: HTTP and TCP to their clusters', async () => {
    const made = proxy();
    const text = JSON.stringify({
      static_resources: {
        listeners: [listener('web', [hcm('app')]), listener('raw', [tcp('echo')])],
        clusters: [cluster('app', await application('hello')), cluster('echo', await echo())],
      },
      admin: { address: at(0) },
    });
    expect(made.ready).toBe(false);
    await runBootstrap(made, loadBootstrap(text));
    expect(made.ready).toBe(true);
    expect(await get(made.bound.get('web')!.port)).toBe('200 hello');
    const big = 'y'.repeat(1 << 20);
    expect(await talk(made.bound.get('raw')!.port, big)).toBe(`echo:${big}`);
  });

  it('refuses unknown fields by path, and runs nothing of a faulty file', async () => {
    expect(() => loadBootstrap('{"static_resources":{"listeners":[{"name":"a","addres":{}}]}}')).toThrow(
      /staticResources\.listeners\[0\].*addres/,
    );
    const bad = {
      static_resources: {
        listeners: [listener('good', [tcp('x')]), { ...listener('bad', [tcp('x')]), useOriginalDst: true }],
      },
    };
    const made = proxy();
    await expect(runBootstrap(made, loadBootstrap(JSON.stringify(bad)))).rejects.toThrow(BootstrapError);
  });

  it('keeps the last good version of a faulty resource and names the fault', async () => {
    const made = proxy();
    const port = await application('v1');
    await made.apply({
      clusters: { upsert: [cluster('app', port)], remove: [] },
      listeners: { upsert: [listener('web', [hcm('app')])], remove: [] },
    });
    const faults = await made.apply({
      clusters: { upsert: [{ name: 'app', nonsense: 1 }], remove: [] },
      listeners: { upsert: [{ ...listener('web', []), filterChains: [] }], remove: [] },
    });
    expect([...faults.keys()].sort()).toEqual(['clusters/app', 'listeners/web']);
    expect(faults.get('clusters/app')).toContain('nonsense');
    expect(await get(made.bound.get('web')!.port)).toBe('200 v1');
  });

  it('changes filters under a bound socket, and lets go of removed listeners', async () => {
    const made = proxy();
    await made.apply({
      clusters: { upsert: [cluster('a', await application('a')), cluster('b', await application('b'))], remove: [] },
      listeners: { upsert: [listener('web', [hcm('a')])], remove: [] },
    });
    const { port } = made.bound.get('web')!;
    expect(await get(port)).toBe('200 a');
    await made.apply({ listeners: { upsert: [listener('web', [hcm('b')])], remove: [] } });
    expect(made.bound.get('web')!.port).toBe(port);
    expect(await get(port)).toBe('200 b');
    await made.apply({ listeners: { upsert: [], remove: ['web'] } });
    await expect(get(port)).rejects.toThrow();
  });

  it('says in one line why it cannot listen', async () => {
    const port = await application('busy');
    const faults = await proxy().apply({
      listeners: { upsert: [listener('web', [tcp('x')], undefined, port)], remove: [] },
    });
    expect(faults.get('listeners/web')).toMatch(/^cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  });

  it('speaks mTLS between two proxies, across rotation and a change of roots', async () => {
    const root = await rootAuthority('mesh');
    const roots = (authority: typeof root) => ({
      name: 'ROOTCA',
      validation_context: { trusted_ca: { inline_string: pem(authority) } },
    });
    const identity = (sa: string, authority = root) =>
      leaf(authority, { uri: `spiffe://cluster.local/ns/default/sa/${sa}` });
    const inbound = proxy();
    const outbound = proxy();
    await inbound.apply({
      secrets: { upsert: [secretOf(await identity('b')), roots(root)], remove: [] },
      clusters: { upsert: [cluster('app', await application('secret'))], remove: [] },
      listeners: { upsert: [listener('in', [hcm('app')], serverTls)], remove: [] },
    });
    const inPort = inbound.bound.get('in')!.port;
    // The listener is there first: without its secrets it must refuse, not fall back to plaintext.
    await outbound.apply({
      clusters: { upsert: [cluster('b', inPort, clientTls)], remove: [] },
      listeners: { upsert: [listener('out', [hcm('b')])], remove: [] },
    });
    const outPort = outbound.bound.get('out')!.port;
    expect(await get(outPort)).toMatch(/^503 /);
    await outbound.apply({ secrets: { upsert: [secretOf(await identity('a')), roots(root)], remove: [] } });
    expect(await get(outPort)).toBe('200 secret');
    await outbound.apply({ secrets: { upsert: [secretOf(await identity('a'))], remove: [] } });
    expect(await get(outPort)).toBe('200 secret');
    expect(await talk(inPort, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toBe('');
    const mixed = {
      ...secretOf(await identity('a')),
      tls_certificate: {
        ...secretOf(await identity('a')).tls_certificate,
        private_key: { inline_string: (await identity('c')).key },
      },
    };
    const faults = await outbound.apply({ secrets: { upsert: [mixed], remove: [] } });
    expect(faults.get('secrets/default')).toMatch(/private key does not belong/);
    expect(JSON.stringify(outbound.configDump())).not.toContain('PRIVATE KEY');
  });

  it('admits by network RBAC before a byte goes upstream', async () => {
    const rbac = (action: string, prefix: string) => ({
      name: 'envoy.filters.network.rbac',
      typedConfig: {
        '@type': `${ANY}envoy.extensions.filters.network.rbac.v3.RBAC`,
        statPrefix: 'tcp.',
        rules: {
          action,
          policies: {
            'ns[foo]-policy[bar]-rule[0]': {
              permissions: [{ any: true }],
              principals: [{ directRemoteIp: { addressPrefix: prefix, prefixLen: 8 } }],
            },
          },
        },
      },
    });
    const made = proxy();
    const faults = await made.apply({
      clusters: { upsert: [cluster('echo', await echo())], remove: [] },
      listeners: {
        upsert: [
          listener('open', [rbac('ALLOW', '127.0.0.0'), tcp('echo')]),
          listener('shut', [rbac('DENY', '127.0.0.0'), tcp('echo')]),
          listener('other', [rbac('ALLOW', '10.0.0.0'), tcp('echo')]),
        ],
        remove: [],
      },
    });
    expect(faults).toEqual(new Map());
    expect(await talk(made.bound.get('open')!.port, 'x')).toBe('echo:x');
    expect(await talk(made.bound.get('shut')!.port, 'x')).toBe('');
    expect(await talk(made.bound.get('other')!.port, 'x')).toBe('');
  });

  it('never dials in plaintext what should be TLS', async () => {
    let seen = 0;
    const plain = net.createServer(() => seen++);
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => plain.close());
    const made = proxy();
    const faults = await made.apply({
      clusters: { upsert: [cluster('b', (plain.address() as net.AddressInfo).port, clientTls)], remove: [] },
      listeners: { upsert: [listener('out', [hcm('b')]), listener('raw', [tcp('b')])], remove: [] },
    });
    expect(faults).toEqual(new Map());
    expect(await get(made.bound.get('out')!.port)).toMatch(/^503 /);
    expect(await talk(made.bound.get('raw')!.port, 'secret')).toBe('');
    expect(seen).toBe(0);
  });

  it('passes TLS through by server name without ending it', async () => {
    const root = await rootAuthority('site');
    const own = await leaf(root, { uri: 'spiffe://cluster.local/ns/default/sa/site' });
    const site = tls.createServer({ cert: own.cert, key: own.key }, (socket) => socket.end('site'));
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => site.close());
    const made = proxy();
    await made.apply({
      clusters: { upsert: [cluster('site', (site.address() as net.AddressInfo).port)], remove: [] },
      listeners: {
        upsert: [
          {
            name: 'sni',
            address: at(0),
            filterChains: [{ filterChainMatch: { serverNames: ['*.example'] }, filters: [tcp('site')] }],
          },
        ],
        remove: [],
      },
    });
    const ask = (servername: string) =>
      new Promise<string>((resolve) => {
        let got = '';
        const socket = tls.connect({
          host: '127.0.0.1',
          port: made.bound.get('sni')!.port,
          servername,
          rejectUnauthorized: false,
        });
        socket.on('data', (bytes) => (got += bytes));
        socket.on('error', () => {});
        socket.on('close', () => resolve(got));
      });
    expect(await ask('www.example')).toBe('site');
    expect(await ask('www.other')).toBe('');
  });
});
