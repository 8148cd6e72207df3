/**
 * Which HTTP version goes to an upstream, on how many connections, and what is retried: the same expectations for Envoy and
 * for Tulle on each runtime, with the same file.
 */
import http2 from 'node:http2';
import https from 'node:https';
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get2 } from '../../e2e/http2-clients.ts';
import { get } from '../../e2e/shop-mesh.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { listening } from '../../kit/upstream.ts';
import { serverLeaf } from '../../mtls/certificates.ts';
import { ANY, at, cluster, hcm, listener } from '../../proxy/bootstrap.ts';

const OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const PROXIES = [...(ENVOY === undefined ? [] : (['envoy'] as const)), ...RUNTIMES];

/** An upstream over TLS that answers with the version of the request. */
class Upstream {
  readonly server: http2.Http2SecureServer | https.Server;
  connections = 0;
  /** Streams to refuse before the next is answered. */
  refusals = 0;
  /** A GOAWAY follows the next answer. */
  leaves = false;
  /** Answers wait for so many requests. */
  gathers = 1;
  port = 0;
  private waiting: (() => void)[] = [];
  private readonly sockets = new Set<net.Socket>();

  constructor(protocols: readonly string[], certificate: { cert: string; key: string }, settings: http2.Settings = {}) {
    const options = { ...certificate, ALPNProtocols: [...protocols] };
    this.server = protocols.includes('h2')
      ? http2.createSecureServer({ ...options, allowHTTP1: true, settings }, (request, response) =>
          this.serve(request.httpVersion, response, response.stream),
        )
      : https.createServer(options, (request, response) => this.serve(request.httpVersion, response, undefined));
    this.server.on('secureConnection', (socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  async start(): Promise<this> {
    this.port = await listening(this.server);
    return this;
  }

  stop(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private serve(
    version: string,
    response: { end(text: string): unknown },
    stream: http2.ServerHttp2Stream | undefined,
  ): void {
    if (version === '2.0' && this.refusals > 0) {
      this.refusals--;
      stream?.on('error', () => {});
      stream?.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    this.waiting.push(() => {
      response.end(version);
      if (!this.leaves) return;
      this.leaves = false;
      stream?.session?.close();
    });
    if (this.waiting.length < this.gathers) return;
    for (const answer of this.waiting.splice(0)) answer();
  }
}

const refused = (clusterName: string) => {
  const manager = hcm(clusterName);
  const [host] = manager.typed_config.route_config.virtual_hosts;
  Object.assign(host!.routes[0]!.route, { retry_policy: { retry_on: 'refused-stream', num_retries: 2 } });
  return manager;
};

describe.each(PROXIES)('protocols of upstreams, by %s', (name) => {
  const folder = temporaryFolder();
  const upstreams: Record<string, Upstream> = {};
  let proxy: RunningProxy;

  beforeAll(async () => {
    const certificate = await serverLeaf('P-256', ['up.test']);
    const both = ['h2', 'http/1.1'];
    for (const [key, protocols, settings] of [
      ['auto', both, {}],
      ['old', ['http/1.1'], {}],
      ['fixed', both, {}],
      ['plain', both, {}],
      ['follow', both, {}],
      ['few', both, {}],
      ['short', both, { maxConcurrentStreams: 2 }],
      ['once', both, {}],
    ] as const)
      upstreams[key] = await new Upstream(protocols, certificate, settings).start();
    const secured = (key: string, options: object) => ({
      ...cluster(key, upstreams[key]!.port, {
        name: 'tls',
        typed_config: {
          '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
          sni: 'up.test',
          max_session_keys: 0,
        },
      }),
      typed_extension_protocol_options: { [OPTIONS]: { '@type': `${ANY}${OPTIONS}`, ...options } },
    });
    const http2Options = (http2_protocol_options: object) => ({ explicit_http_config: { http2_protocol_options } });
    const clusters = [
      secured('auto', { auto_config: {} }),
      secured('old', { auto_config: {} }),
      secured('fixed', http2Options({})),
      secured('plain', { explicit_http_config: { http_protocol_options: {} } }),
      secured('follow', { use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} } }),
      secured('few', http2Options({ max_concurrent_streams: 2 })),
      secured('short', http2Options({})),
      secured('once', { ...http2Options({}), common_http_protocol_options: { max_requests_per_connection: 1 } }),
    ];
    const bootstrap = {
      admin: { address: at(0) },
      static_resources: { clusters, listeners: clusters.map((one) => listener(one.name, [refused(one.name)])) },
    };
    proxy =
      name === 'envoy' ? await startEnvoy(bootstrap, folder.path) : await startTulle(name, bootstrap, folder.path);
  });
  afterAll(async () => {
    await proxy?.stop();
    for (const one of Object.values(upstreams)) one.stop();
    folder.dispose();
  });

  const ask1 = async (key: string) =>
    (await get({ host: '127.0.0.1', port: proxy.ports[key]!, path: '/', headers: { host: 'up.test' } })).body;
  const ask2 = async (key: string) => (await get2(`http://127.0.0.1:${proxy.ports[key]}`, 'up.test')).body;

  it.each([
    ['auto', '2.0 2.0'],
    ['old', '1.1 1.1'],
    ['fixed', '2.0 2.0'],
    ['plain', '1.1 1.1'],
    ['follow', '1.1 2.0'],
  ])('%s: clients of HTTP/1.1 and of HTTP/2 get %s', async (key, versions) => {
    expect(`${await ask1(key)} ${await ask2(key)}`).toBe(versions);
  });

  it('requests that come at once share the connections that their streams need', async () => {
    const at = upstreams['few']!;
    at.gathers = 6;
    expect(await Promise.all(Array.from({ length: 6 }, () => ask1('few')))).toEqual(Array(6).fill('2.0'));
    expect(at.connections).toBe(3);
  });

  it('the limit of the peer holds as well', async () => {
    const at = upstreams['short']!;
    expect(await ask1('short')).toBe('2.0');
    at.gathers = 6;
    expect(await Promise.all(Array.from({ length: 6 }, () => ask1('short')))).toEqual(Array(6).fill('2.0'));
    expect(at.connections).toBe(3);
  });

  it('a server that turns out to speak HTTP/1.1 gets as many connections as requests', async () => {
    const at = upstreams['old']!;
    at.gathers = 4;
    expect(await Promise.all(Array.from({ length: 4 }, () => ask2('old')))).toEqual(Array(4).fill('1.1'));
    at.gathers = 1;
  });

  it('a connection carries as many requests as it may', async () => {
    for (let i = 0; i < 3; i++) expect(await ask2('once')).toBe('2.0');
    expect(upstreams['once']!.connections).toBe(3);
  });

  it('a stream that the upstream refused is sent again', async () => {
    const at = upstreams['fixed']!;
    at.refusals = 2;
    expect(await ask1('fixed')).toBe('2.0');
    at.refusals = 3;
    expect(await ask1('fixed')).toContain('remote refused stream reset');
    expect(at.refusals).toBe(0);
  });

  it('requests behind a GOAWAY go to another connection', async () => {
    const at = upstreams['fixed']!;
    const before = at.connections;
    at.leaves = true;
    for (let i = 0; i < 3; i++) expect(await ask1('fixed')).toBe('2.0');
    expect(at.connections).toBe(before + 1);
  });
});
