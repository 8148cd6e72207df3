/** gRPC health checks against a real HTTP/2 server, plaintext and TLS, on every runtime from one body. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Behaviour, GrpcHealthServer } from '../grpc-health-server.ts';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority, x509 } from '../mtls/certificates.ts';
import { ANY, at, hcm, listener } from './bootstrap.ts';

/** Nothing else listens on it. */
const ALONE = '127.0.0.41';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

describe.each(RUNTIMES)('gRPC health checks on %s', (runtime) => {
  const folder = temporaryFolder();
  const servers: Record<string, GrpcHealthServer> = {};
  let proxy: ProxyProcess;

  beforeAll(async () => {
    const authority = await rootAuthority('health');
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'health.test' }]);
    const { cert, key } = await leaf(authority, { uri: '', names });
    const tls = { cert, key, ALPNProtocols: ['h2'] };
    servers['plain'] = await new GrpcHealthServer().start(ALONE);
    for (const name of ['http', 'once']) servers[name] = await new GrpcHealthServer().start();
    for (const name of ['tls', 'alpn']) servers[name] = await new GrpcHealthServer(tls).start();
    const grpc = (more: object = {}) => ({
      grpc_health_check: {
        service_name: 'shop.Cart',
        authority: 'check.test',
        initial_metadata: [{ header: { key: 'X-Token', value: '100%%' } }],
        ...more,
      },
    });
    const where = (name: string) => ({
      socket_address: { address: name === 'plain' ? ALONE : '127.0.0.1', port_value: servers[name]!.port },
    });
    const cluster = (name: string, check: object, more: object = {}) => ({
      name,
      type: 'STATIC',
      common_lb_config: { healthy_panic_threshold: {} },
      load_assignment: {
        cluster_name: name,
        endpoints: [{ lb_endpoints: [{ endpoint: { address: where(name) } }] }],
      },
      typed_extension_protocol_options: {
        [HTTP_OPTIONS]: {
          '@type': `${ANY}${HTTP_OPTIONS}`,
          use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
        },
      },
      health_checks: [
        {
          timeout: '20s',
          interval: '0.05s',
          no_traffic_interval: '0.05s',
          unhealthy_threshold: 2,
          healthy_threshold: 2,
          ...check,
        },
      ],
      ...more,
    });
    const secured = (alpn: string[]) => ({
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': `${ANY}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
          sni: 'health.test',
          common_tls_context: {
            ...(alpn.length > 0 && { alpn_protocols: alpn }),
            validation_context: { trusted_ca: { inline_string: authority.certificate.toString('pem') } },
          },
        },
      },
    });
    const clusters = [
      cluster('plain', grpc()),
      cluster('http', { http_health_check: { path: '/healthz', codec_client_type: 'HTTP2' } }),
      cluster('once', { ...grpc(), reuse_connection: false }),
      cluster('tls', grpc(), secured([])),
      cluster('alpn', { ...grpc(), tls_options: { alpn_protocols: ['x', 'h2'] } }, secured(['http/1.1'])),
    ];
    proxy = new ProxyProcess(runtime, join(folder.path, 'config.json'), {
      node: { id: 'health', cluster: 'health' },
      admin: { address: at(0) },
      static_resources: { listeners: [listener('plain', [hcm('plain')])], clusters },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy.stop('SIGKILL');
    await Promise.all(Object.values(servers).map((server) => server.stop()));
    folder.dispose();
  });

  const flags = async (name: string) =>
    (await proxy.admin('/clusters')).body.match(new RegExp(`^${name}::127[0-9.]+:\\d+::health_flags::(.*)$`, 'm'))?.[1];
  const healthy = async (name: string) => (await flags(name)) === 'healthy';
  const failed = async (name: string) => (await flags(name)) === '/failed_active_hc';
  const stats = async (name: string): Promise<Record<string, number>> => {
    const { body } = await proxy.admin(`/stats?filter=cluster\\.${name}\\.health_check`);
    const lines = body.trim().split('\n');
    return Object.fromEntries(lines.map((line) => [line.match(/\w+(?=:)/)![0], Number(line.split(': ')[1])]));
  };

  it.each(['plain', 'http', 'once', 'tls', 'alpn'])('%s: asks, and follows the answer', async (name) => {
    const server = servers[name]!;
    await until('it was asked', () => server.checks.length > 2);
    await until('it is healthy', () => healthy(name));
    server.behaviour = name === 'http' ? 'http 503' : 'NOT_SERVING';
    await until('it is not', () => failed(name));
    server.behaviour = 'SERVING';
    await until('it is again', () => healthy(name));
    const { attempt, success, failure, network_failure, healthy: gauge, degraded } = await stats(name);
    expect([network_failure, gauge, degraded]).toEqual([0, 1, 0]);
    expect(failure).toBeGreaterThan(0);
    expect([success! + failure!, success! + failure! + 1]).toContain(attempt);
    const sent = new Set(server.checks.map((check) => JSON.stringify(check)));
    expect([...sent]).toHaveLength(1);
    // On one connection, but where each is to have its own.
    const { connections, checks } = server;
    if (name === 'once') expect(connections).toBeGreaterThanOrEqual(checks.length);
    else expect(connections).toBe(1);
  });

  it('what a check says', () => {
    const said = (name: string) => servers[name]!.checks[0]!;
    const grpc = {
      ':method': 'POST',
      ':scheme': 'http',
      ':authority': 'check.test',
      ':path': '/grpc.health.v1.Health/Check',
      te: 'trailers',
      'content-type': 'application/grpc',
      'user-agent': 'Envoy/HC',
      'x-token': '100%',
      'grpc-timeout': '20000m',
    };
    const body = `000000000b0a09${Buffer.from('shop.Cart').toString('hex')}`;
    expect(said('plain')).toEqual({ headers: grpc, body, alpn: 'h2c' });
    expect(said('tls')).toEqual({ headers: { ...grpc, ':scheme': 'https' }, body, alpn: 'h2' });
    expect(said('http')).toEqual({
      headers: {
        ':method': 'GET',
        ':scheme': 'http',
        ':authority': 'http',
        ':path': '/healthz',
        'user-agent': 'Envoy/HC',
      },
      body: '',
      alpn: 'h2c',
    });
  });

  it('traffic follows', async () => {
    const server = servers['plain']!;
    const refused = async () => {
      const answer = await fetch(`http://127.0.0.1:${proxy.ports['plain']}/`);
      return (await answer.text()) === 'no healthy upstream';
    };
    // The server understands no HTTP/1.1: what comes of that is another error.
    expect(await refused()).toBe(false);
    server.behaviour = 'NOT_SERVING';
    await until('there is no host', refused);
    server.behaviour = 'SERVING';
    await until('it is again', async () => !(await refused()));
  });

  /** Its behaviour changes while it is healthy. */
  const after = async (name: string, behaviour: Behaviour) => {
    const server = servers[name]!;
    const before = await stats(name);
    server.behaviour = behaviour;
    await until('some were answered so', async () => (await stats(name))['failure']! >= before['failure']! + 3);
    const now = await stats(name);
    server.behaviour = 'SERVING';
    await until('it is again', () => healthy(name));
    return now['network_failure']! - before['network_failure']!;
  };

  it('a reset counts as no answer, an error as one', async () => {
    expect(await after('plain', 'reset')).toBeGreaterThanOrEqual(2);
    expect(await after('plain', 'unimplemented')).toBe(0);
    expect(await after('tls', 'hang up')).toBeGreaterThanOrEqual(2);
  });

  it('a peer that goes is asked on another connection, with no check lost', async () => {
    const server = servers['tls']!;
    const { connections } = server;
    const { failure } = await stats('tls');
    server.behaviour = 'goaway';
    await until('it went three times', () => server.connections >= connections + 3);
    server.behaviour = 'SERVING';
    expect((await stats('tls'))['failure']).toBe(failure);
    expect(await healthy('tls')).toBe(true);
  });

  it('no server: it is found again', async () => {
    const server = servers['plain']!;
    const { port } = server;
    await server.stop();
    await until('it is gone', () => failed('plain'));
    servers['plain'] = await new GrpcHealthServer().start(ALONE, port);
    await until('it is back', () => healthy('plain'));
  });
});
