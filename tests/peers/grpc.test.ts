/** Health checks of gRPC's own server (C core), on every runtime. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at } from '../interop/harness/bootstrap-parts.ts';
import { any, staticCluster } from '../interop/shared-file/bootstrap.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program } from '../kit/process.ts';
import { startTulle } from '../kit/proxy.ts';
import { PYTHON, pythonHas } from '../kit/python.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority, x509 } from '../mtls/certificates.ts';

const present = pythonHas('grpcio', 'grpc');
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

describe.skipIf(!present)('gRPC', () => {
  const folder = temporaryFolder();
  let server: Program;
  let ports: Record<'plain' | 'tls' | 'aging', number>;
  let roots = '';

  beforeAll(async () => {
    const authority = await rootAuthority('grpc');
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'grpc.test' }]);
    const { cert, key } = await leaf(authority, { uri: '', names });
    roots = authority.certificate.toString('pem');
    const files = [join(folder.path, 'chain.pem'), join(folder.path, 'key.pem')] as const;
    writeFileSync(files[0], cert);
    writeFileSync(files[1], key);
    server = new Program('gRPC server', [PYTHON, join(ROOT, 'tests/peers/grpc-server.py'), ...files]);
    ports = await server.announcement();
  });
  afterAll(async () => {
    await server?.stop();
    folder.dispose();
  });

  const checked = (name: string, port: number, service: string, more: object = {}) =>
    staticCluster(name, port, {
      typed_extension_protocol_options: {
        [HTTP_OPTIONS]: any('upstreams.http.v3.HttpProtocolOptions', {
          use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
        }),
      },
      health_checks: [
        {
          timeout: '20s',
          interval: '0.02s',
          no_traffic_interval: '0.02s',
          unhealthy_threshold: 1,
          healthy_threshold: 1,
          grpc_health_check: { service_name: service },
        },
      ],
      ...more,
    });

  it.each(RUNTIMES)('is asked through %s', async (runtime) => {
    const context = {
      sni: 'grpc.test',
      common_tls_context: { validation_context: { trusted_ca: { inline_string: roots } } },
    };
    const tls = { name: 'tls', typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', context) };
    const proxy = await startTulle(
      runtime,
      {
        node: { id: 'grpc', cluster: 'grpc' },
        admin: { address: at(0) },
        static_resources: {
          listeners: [],
          clusters: [
            checked('all', ports.plain, ''),
            checked('serving', ports.plain, 'serving'),
            checked('not_serving', ports.plain, 'not-serving'),
            checked('unknown', ports.plain, 'who?'),
            checked('tls', ports.tls, 'serving', { transport_socket: tls }),
            checked('aging', ports.aging, 'serving'),
          ],
        },
      },
      folder.path,
    );
    const stats = async (name: string) => {
      const url = `http://127.0.0.1:${proxy.adminPort}/stats?format=json&filter=^cluster\\.${name}\\.health_check`;
      const { stats } = (await (await fetch(url)).json()) as { stats: { name: string; value: number }[] };
      return Object.fromEntries(stats.map((one) => [one.name.split('.').at(-1), one.value]));
    };
    try {
      for (const name of ['all', 'serving', 'tls', 'aging'])
        expect(
          await until(`${name} was checked`, async () => ((await stats(name))['success']! >= 20 ? stats(name) : false)),
        ).toMatchObject({
          failure: 0,
          healthy: 1,
        });
      for (const name of ['not_serving', 'unknown'])
        expect(
          await until(`${name} was checked`, async () => ((await stats(name))['failure']! >= 20 ? stats(name) : false)),
        ).toMatchObject({
          success: 0,
          network_failure: 0,
          healthy: 0,
        });
      // A few connections have received GOAWAY by now.
      await until('connections aged', async () => (await stats('aging'))['success']! >= 100);
      expect((await stats('aging'))['failure']).toBe(0);
    } finally {
      await proxy.stop();
    }
  });
});
