/** One port for mTLS, TLS, HTTP and protocols in which the server speaks first (PERMISSIVE), on every runtime. */
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { listening, UPSTREAM } from '../kit/upstream.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority } from '../mtls/certificates.ts';
import { ANY, at, cluster, hcm, tcp } from './bootstrap.ts';

const inspector = (kind: string, type: string) => ({
  name: kind,
  typed_config: { '@type': `${ANY}envoy.extensions.filters.listener.${kind}.v3.${type}` },
});
const MESH = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];

describe.each(RUNTIMES)('a permissive port on %s', (runtime) => {
  const folder = temporaryFolder();
  let web: http.Server;
  let first: net.Server;
  let own: tls.Server;
  let proxy: ProxyProcess;
  let root: Authority;
  let client: Leaf;

  /** What comes back, until the other side is done or `enough` of it is there. */
  const gather = (socket: net.Socket, enough: RegExp): Promise<string> =>
    new Promise((resolve) => {
      let got = '';
      const done = () => {
        resolve(got);
        socket.destroy();
      };
      socket.on('data', (bytes) => {
        got += bytes;
        if (enough.test(got)) done();
      });
      socket.on('error', () => {});
      socket.on('close', done);
    });

  beforeAll(async () => {
    root = await rootAuthority('mesh');
    const mesh = await leaf(root, { uri: 'spiffe://cluster.local/ns/a/sa/server' });
    const foreign = await leaf(await rootAuthority('other'), { uri: 'spiffe://elsewhere/app' });
    client = await leaf(root, { uri: 'spiffe://cluster.local/ns/a/sa/client' });
    web = http.createServer(UPSTREAM, (_, w) => w.end('web'));
    first = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.write('220 greeting\r\n');
      socket.on('data', (bytes) => socket.write(`echo ${bytes}`));
    });
    own = tls.createServer({ cert: foreign.cert, key: foreign.key }, (socket) => socket.end('own tls'));
    const secure = {
      name: 'tls',
      typed_config: {
        '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
        require_client_certificate: true,
        common_tls_context: {
          tls_certificates: [
            { certificate_chain: { inline_string: mesh.cert }, private_key: { inline_string: mesh.key } },
          ],
          validation_context: { trusted_ca: { inline_string: pem(root) } },
          alpn_protocols: MESH,
        },
      },
    };
    const permissive = (name: string, more: object) => ({
      name,
      address: at(0),
      listener_filters: [inspector('tls_inspector', 'TlsInspector'), inspector('http_inspector', 'HttpInspector')],
      filter_chains: [
        {
          filter_chain_match: { transport_protocol: 'tls', application_protocols: ['istio-http/1.1'] },
          filters: [hcm('web')],
          transport_socket: secure,
        },
        {
          filter_chain_match: {
            transport_protocol: 'tls',
            application_protocols: MESH.filter((p) => !p.includes('http/1.1')),
          },
          filters: [tcp('first')],
          transport_socket: secure,
        },
        {
          filter_chain_match: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1'] },
          filters: [hcm('web')],
        },
        { filter_chain_match: { transport_protocol: 'raw_buffer' }, filters: [tcp('first')] },
        { filter_chain_match: { transport_protocol: 'tls' }, filters: [tcp('own')] },
      ],
      ...more,
    });
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [
          permissive('port', { listener_filters_timeout: '1.5s', continue_on_listener_filters_timeout: true }),
          permissive('strict', { listener_filters_timeout: '0.2s' }),
        ],
        clusters: [
          cluster('web', await listening(web)),
          cluster('first', await listening(first)),
          cluster('own', await listening(own)),
        ],
      },
      admin: { address: at(0) },
    });
    await proxy.ready();
  });

  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    web.closeAllConnections();
    for (const server of [web, first, own]) server.close();
    folder.dispose();
  });

  const plain = (name = 'port') => net.connect({ host: '127.0.0.1', port: proxy.ports[name]! });
  const encrypted = (options: tls.ConnectionOptions) =>
    tls.connect({ host: '127.0.0.1', port: proxy.ports['port']!, rejectUnauthorized: false, ...options });
  const mesh = (...ALPNProtocols: string[]) => encrypted({ cert: client.cert, key: client.key, ALPNProtocols });
  const GET = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

  it('lets the server speak first when the client says nothing', async () => {
    const socket = plain();
    expect(await gather(socket, /\r\n/)).toBe('220 greeting\r\n');
  });

  it('tells HTTP, other text and both at once apart', async () => {
    const asking = plain();
    asking.write(GET);
    expect(await gather(asking, /web$/)).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*web$/);
    const talking = plain();
    talking.write('EHLO me\r\n');
    expect(await gather(talking, /echo EHLO me/)).toContain('220 greeting\r\n');
    // A request line that comes a byte at a time, faster than the timeout.
    const trickling = plain();
    for (const byte of GET) trickling.write(byte);
    expect(await gather(trickling, /web$/)).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  it('serves mTLS of the mesh, HTTP and bytes, and passes other TLS on', async () => {
    const asking = mesh('istio-http/1.1', 'istio', 'http/1.1');
    asking.write(GET);
    expect(await gather(asking, /web$/)).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(await gather(mesh('istio'), /\r\n/)).toBe('220 greeting\r\n');
    expect(await gather(encrypted({ ALPNProtocols: ['istio'] }), /\r\n/)).toBe('');
    expect(await gather(encrypted({}), /own tls/)).toBe('own tls');
  });

  it('closes a silent client where it may not continue', async () => {
    expect(await gather(plain('strict'), /./)).toBe('');
    const text = (await proxy.admin('/stats?filter=downstream_pre_cx_timeout')).body;
    // Both listeners' kernel-chosen ports share a name: the timeout that went on counts as well, as in Envoy.
    expect(text).toMatch(/downstream_pre_cx_timeout: 2\n/);
  });
});
