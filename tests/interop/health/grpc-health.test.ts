/**
 * gRPC health checks beside a real Envoy: one bootstrap, the same servers, which do the same to both; the health of each
 * host, what moves among the statistics, and what a check says must agree.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BEHAVIOURS, type Behaviour, GrpcHealthServer } from '../../grpc-health-server.ts';
import { tulle } from '../../kit/command.ts';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, envoyErrors, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';
import { leaf, rootAuthority, x509 } from '../../mtls/certificates.ts';
import { at } from '../harness/bootstrap-parts.ts';
import { any, staticCluster } from '../shared-file/bootstrap.ts';
import { checkCounts, checkOutcome, checkRules } from './health-outcome.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const protocol = (options: object) => ({
  typed_extension_protocol_options: { [HTTP_OPTIONS]: any('upstreams.http.v3.HttpProtocolOptions', options) },
});
const anyProtocol = protocol({
  use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
});
const bootstrapOf = (clusters: object[]) => ({
  node: { id: 'health', cluster: 'health' },
  admin: { address: at(0) },
  static_resources: { listeners: [], clusters },
});

/** What a host may do and stay healthy. */
const WELL: ReadonlySet<string> = new Set(['SERVING', 'interim first', 'split', 'long message', 'goaway']);

interface Subject {
  readonly cluster: string;
  readonly server: GrpcHealthServer;
  /** What becomes of its server once it is healthy everywhere. */
  readonly turn: Behaviour | 'stopped';
}

describe.skipIf(!ENVOY)('gRPC health checks beside Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const subjects: Subject[] = [];

  beforeAll(async () => {
    const authority = await rootAuthority('health');
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'health.test' }]);
    const { cert, key } = await leaf(authority, { uri: '', names });
    const clusters: object[] = [];
    const add = async (name: string, turn: Subject['turn'], check: object, more: object = {}, secure = false) => {
      const address = turn === 'stopped' ? '127.0.0.42' : '127.0.0.1';
      const options = secure ? { cert, key, ALPNProtocols: ['h2'] } : undefined;
      const server = await new GrpcHealthServer(options).start(address);
      const cluster = name.replaceAll(' ', '_');
      subjects.push({ cluster, server, turn });
      const endpoint = { address: { socket_address: { address, port_value: server.port } } };
      const load_assignment = { cluster_name: cluster, endpoints: [{ lb_endpoints: [{ endpoint }] }] };
      clusters.push(
        staticCluster(cluster, undefined, { load_assignment, ...anyProtocol, ...checkRules(check), ...more }),
      );
    };
    for (const behaviour of BEHAVIOURS)
      await add(behaviour, behaviour, {
        grpc_health_check: {},
        ...(behaviour === 'silence' && { timeout: '0.4s' }),
      });
    await add('stopped', 'stopped', { grpc_health_check: { service_name: 'shop.Cart', authority: 'a.test' } });
    await add('not reused', 'NOT_SERVING', { grpc_health_check: {}, reuse_connection: false });
    await add('metadata', 'SERVING', {
      timeout: '100000s',
      grpc_health_check: {
        service_name: 'é',
        initial_metadata: [
          { header: { key: 'X-Two', value: '100%%' } },
          { header: { key: 'x-two', value: 'b' } },
          { header: { key: 'User-Agent', value: 'more' } },
          { header: { key: 'content-type', value: 'x' }, append_action: 'ADD_IF_ABSENT' },
          { header: { key: 'x-none', value: 'x' }, append_action: 'OVERWRITE_IF_EXISTS' },
          { header: { key: 'x-two', value: '' } },
        ],
      },
    });
    const transport_socket = {
      name: 'tls',
      typed_config: any('transport_sockets.tls.v3.UpstreamTlsContext', {
        sni: 'health.test',
        common_tls_context: {
          alpn_protocols: ['http/1.1'],
          validation_context: { trusted_ca: { inline_string: authority.certificate.toString('pem') } },
        },
      }),
    };
    const secure = { grpc_health_check: {}, tls_options: { alpn_protocols: ['h2', 'x'] } };
    await add('tls', 'NOT_SERVING', secure, { transport_socket }, true);
    const matches = [{ name: 'secure', match: { how: 'secure' }, transport_socket }];
    await add(
      'matched',
      'NOT_SERVING',
      { ...secure, transport_socket_match_criteria: { how: 'secure' } },
      { transport_socket_matches: matches },
      true,
    );
    await add('not matched', 'NOT_SERVING', { grpc_health_check: {} }, { transport_socket_matches: matches });
    const http = { http_health_check: { path: '/healthz', host: 'h.test', codec_client_type: 'HTTP2' } };
    await add('http2', 'http 503', http);
    await add('http2 goaway', 'goaway', http);
    const bootstrap = bootstrapOf(clusters);
    proxies.push(await startEnvoy(bootstrap, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, bootstrap, folder.path));
    for (const { cluster } of subjects)
      for (const proxy of proxies)
        await until(
          `${proxy.name}: ${cluster} is healthy`,
          async () => (await checkCounts(proxy, cluster)).healthy === 1,
        );
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await Promise.all(subjects.filter(({ turn }) => turn !== 'stopped').map(({ server }) => server.stop()));
    folder.dispose();
  });

  it('what checks say is the same', () => {
    for (const { cluster, server } of subjects) {
      const said = server.checks.map((check) =>
        JSON.stringify({ ...check, headers: Object.entries(check.headers).sort() }),
      );
      // Envoy's scheme is that of the endpoint's traffic, which the criteria do not concern.
      const same = cluster === 'matched' ? said.map((one) => one.replace('"https"', '"http"')) : said;
      expect([...new Set(same)], cluster).toEqual([same[0]]);
    }
  });

  it('what they do then means the same', async () => {
    for (const { server, turn } of subjects) {
      if (turn === 'stopped') await server.stop();
      else server.behaviour = turn;
    }
    await Promise.all(
      subjects.map(async ({ cluster, turn }) => {
        const [envoy, ...ours] = await Promise.all(proxies.map((proxy) => checkOutcome(proxy, cluster)));
        expect(envoy!.succeeds, cluster).toBe(WELL.has(turn));
        for (const [i, one] of ours.entries())
          expect(one, `${proxies[i + 1]!.name}: ${turn} (${cluster})`).toEqual(envoy);
      }),
    );
  });

  it.each([
    ['a cluster of HTTP/1.1', checkRules({ grpc_health_check: {} }), 'HTTP/2'],
    [
      'a cluster that says HTTP/1.1',
      {
        ...protocol({ explicit_http_config: { http_protocol_options: {} } }),
        ...checkRules({ grpc_health_check: {} }),
      },
      'HTTP/2',
    ],
    [
      'metadata that is a pseudo-header field',
      {
        ...anyProtocol,
        ...checkRules({ grpc_health_check: { initial_metadata: [{ header: { key: ':path', value: 'x' } }] } }),
      },
      'initialMetadata',
    ],
    [
      'metadata that names the host',
      {
        ...anyProtocol,
        ...checkRules({ grpc_health_check: { initial_metadata: [{ header: { key: 'Host', value: 'x' } }] } }),
      },
      'initialMetadata',
    ],
    [
      'metadata with half a command',
      {
        ...anyProtocol,
        ...checkRules({ grpc_health_check: { initial_metadata: [{ header: { key: 'x', value: 'x%' } }] } }),
      },
      'initialMetadata',
    ],
  ])('both refuse %s', async (_, more, field) => {
    const file = join(folder.path, 'refused.json');
    writeFileSync(file, JSON.stringify(bootstrapOf([staticCluster('refused', 1, more)])));
    expect(envoyErrors(file)).not.toBe('');
    const { code, error } = await tulle(['proxy', '-c', file]);
    expect(code).not.toBe(0);
    expect(error).toContain(field);
  });
});
