/** Fields that no hop may index (RFC 7541 section 6.2.3) through a proxy, from a client and to an upstream of node:http2. */
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { any, at, filter, prefix, to } from '../interop/harness/bootstrap-parts.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';

const bootstrap = (port: number) => ({
  node: { id: 'secrets', cluster: 'secrets' },
  admin: { address: at(0) },
  static_resources: {
    listeners: [
      {
        name: 'http2',
        address: at(0),
        filter_chains: [
          {
            filters: [
              {
                name: 'http2',
                typed_config: any('filters.network.http_connection_manager.v3.HttpConnectionManager', {
                  stat_prefix: 'http2',
                  codec_type: 'HTTP2',
                  route_config: {
                    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ ...prefix('/'), ...to('app') }] }],
                  },
                  http_filters: [filter('router.v3.Router')],
                }),
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      {
        name: 'app',
        type: 'STATIC',
        connect_timeout: '5s',
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': any('upstreams.http.v3.HttpProtocolOptions', {
            explicit_http_config: { http2_protocol_options: {} },
          }),
        },
        load_assignment: {
          cluster_name: 'app',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }],
        },
      },
    ],
  },
});

const sensitive = (headers: object): readonly string[] =>
  [...((headers as Record<symbol, string[]>)[http2.sensitiveHeaders] ?? [])].sort();

describe('what came as never indexed, and credentials', () => {
  const folder = temporaryFolder();
  let received: http2.IncomingHttpHeaders = {};
  const app = http2.createServer();
  beforeAll(async () => {
    app.on('stream', (stream, headers) => {
      received = headers;
      stream.respond({
        ':status': 200,
        'set-cookie': 'session=1',
        'x-answer': 'a secret',
        server: 'app',
        [http2.sensitiveHeaders]: ['x-answer'],
      });
      stream.end('hello');
    });
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
  });
  afterAll(async () => {
    await new Promise<void>((done) => void app.close(() => done()));
    folder.dispose();
  });

  describe.each(RUNTIMES)('on %s', (runtime) => {
    let proxy: RunningProxy;
    beforeAll(async () => {
      proxy = await startTulle(runtime, bootstrap((app.address() as AddressInfo).port), folder.path);
    });
    afterAll(async () => {
      await proxy?.stop();
    });

    it('are sent so in both directions, however often', async () => {
      const session = http2.connect(`http://127.0.0.1:${proxy.ports['http2']}`);
      try {
        for (let times = 0; times < 3; times++) {
          const stream = session.request({
            ':path': '/',
            'user-agent': 'sensitive here',
            accept: 'x/y',
            authorization: 'Bearer a.b.c',
            'x-token': 'a secret',
            [http2.sensitiveHeaders]: ['x-token', 'user-agent'],
          });
          const answer = await new Promise<http2.IncomingHttpHeaders>((done, failed) => {
            stream.on('response', done);
            stream.on('error', failed);
          });
          stream.resume();
          await new Promise((done) => stream.on('close', done));
          expect(received).toMatchObject({ 'x-token': 'a secret', authorization: 'Bearer a.b.c', accept: 'x/y' });
          expect(sensitive(received)).toEqual(['authorization', 'user-agent', 'x-token']);
          expect(sensitive(answer)).toEqual(['set-cookie', 'x-answer']);
        }
      } finally {
        await new Promise<void>((done) => session.close(done));
      }
    });
  });
});
