/** auto_sni and auto_san_validation: what the TLS upstream hears, and whom Envoy and Tulle alike refuse to speak to. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { leaf, rootAuthority, x509 } from '../../mtls/certificates.ts';
import { at, prefix, to } from '../harness/bootstrap-parts.ts';
import { exchange } from '../harness/raw-client.ts';
import { any, listener, manager, staticCluster } from '../shared-file/bootstrap.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const HOSTS = [
  'a.test',
  'A.test',
  'b.test:8443',
  'x.wild.test',
  'other.test',
  '127.0.0.1',
  '127.0.0.1:99',
  '127.0.0.2',
];
const PATHS = ['/names', '/sni', '/none', '/names/rewritten', '/names/other', '/names/auto'];

describe.skipIf(!ENVOY)('TLS names of requests', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  let server: ReturnType<typeof createServer>;
  let bootstrap: object;
  let expected: Record<string, string>;

  const options = (auto: object) => ({
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: any('upstreams.http.v3.HttpProtocolOptions', {
        upstream_http_protocol_options: auto,
        explicit_http_config: { http_protocol_options: {} },
      }),
    },
  });
  const ask = async (proxy: RunningProxy): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    // Each twice, in turns: connections of one name must not serve another.
    for (const path of PATHS)
      for (const host of [...HOSTS, ...HOSTS]) {
        const { responses } = await exchange(proxy.ports['web']!, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`, [
          'GET',
        ]);
        const { status, body } = responses[0]!;
        const outcome = status === 200 ? body : String(status);
        const key = `${path} ${host}`;
        expect(found[key] ?? outcome, key).toBe(outcome);
        found[key] = outcome;
      }
    return found;
  };

  beforeAll(async () => {
    const authority = await rootAuthority('names');
    const names = new x509.SubjectAlternativeNameExtension([
      ...['a.test', 'b.test', '*.wild.test'].map((value) => ({ type: 'dns' as const, value })),
      { type: 'ip', value: '127.0.0.1' },
    ]);
    const { cert, key } = await leaf(authority, { uri: '', names });
    const roots = join(folder.path, 'roots.pem');
    writeFileSync(roots, authority.certificate.toString('pem'));
    server = createServer({ cert, key, keepAliveTimeout: 0 }, (request, response) => {
      response.end(`sni ${(request.socket as { servername?: string | false }).servername || 'none'}`);
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const cluster = (name: string, auto: object) =>
      staticCluster(name, port, {
        transport_socket: {
          name: 'tls',
          typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
            sni: 'configured.test',
            common_tls_context: { validation_context: { trusted_ca: { filename: roots } } },
          }),
        },
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port), hostname: 'endpoint.test' } }] }],
        },
        ...options(auto),
      });
    const both = { auto_sni: true, auto_san_validation: true };
    const routes = [
      { ...prefix('/names/rewritten'), ...to('both', { host_rewrite_literal: 'b.test' }) },
      { ...prefix('/names/other'), ...to('both', { host_rewrite_literal: 'other.test' }) },
      { ...prefix('/names/auto'), ...to('both', { auto_host_rewrite: true }) },
      { ...prefix('/names'), ...to('both') },
      { ...prefix('/sni'), ...to('sni') },
      { ...prefix('/none'), ...to('none') },
    ];
    const clusters = [cluster('both', both), cluster('sni', { auto_sni: true }), cluster('none', {})];
    const hosts = [{ name: 'all', domains: ['*'], routes }];
    bootstrap = {
      node: { id: 'names', cluster: 'names' },
      admin: { address: at(0) },
      static_resources: { listeners: [listener('web', manager([], [], {}, hosts))], clusters },
    };
    const envoy = await startEnvoy(bootstrap, folder.path);
    proxies.push(envoy);
    expected = await ask(envoy);
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    server.closeAllConnections();
    server.close();
    folder.dispose();
  });

  it('Envoy refuses some and asks for others by name', () => {
    expect(expected).toMatchObject({
      '/names a.test': 'sni a.test',
      '/names other.test': '503',
      '/sni other.test': 'sni other.test',
      '/none a.test': 'sni configured.test',
    });
  });

  it.each(RUNTIMES)('%s does as Envoy', async (runtime) => {
    const tulle = await startTulle(runtime, bootstrap, folder.path);
    proxies.push(tulle);
    expect(await ask(tulle)).toEqual(expected);
  });
});
