/** Ingress listeners of Sidecars: where they listen, TLS of their own, where the application is, and limits. */
import { describe, expect, it } from 'vitest';
import { validate } from '../../../shared/resources/read/validate.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { Listener } from '../../../shared/xds/listener.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const resource = (kind: string, spec: object, group = 'networking'): Resource => ({
  apiVersion: `${group}.istio.io/v1`,
  kind,
  metadata: { name: kind.toLowerCase(), namespace: 'shop' },
  spec,
});
const SERVICE = resource('ServiceEntry', {
  hosts: ['a.example'],
  resolution: 'STATIC',
  location: 'MESH_INTERNAL',
  endpoints: [{ address: '10.0.0.1' }],
  ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
});
const mtls = (mode: string) => resource('PeerAuthentication', { mtls: { mode } }, 'security');

function compile(spec: object, { mode = 'NONE', more = [] as Resource[] } = {}) {
  const resources = [SERVICE, resource('Sidecar', { egress: [{ hosts: ['~/*'] }], ...spec }), ...more];
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1), {
    id: 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local',
    metadata: { NAMESPACE: 'shop', INTERCEPTION_MODE: mode },
    userAgentName: 'tulle-node',
  });
  const listeners = (snapshot.listeners as readonly Listener[]).filter(
    ({ trafficDirection }) => trafficDirection === 'INBOUND',
  );
  const cluster = (port: number) =>
    (snapshot.clusters as readonly Cluster[]).find(({ name }) => name === `inbound|${port}||`);
  return { listeners, notes, cluster };
}
const http = (more: object = {}) => ({ port: { number: 8080, name: 'http', protocol: 'HTTP' }, ...more });
const names = (listeners: readonly Listener[]) => listeners.map(({ name }) => name ?? '').sort();

it('listens at the workload, or where bind says; with capture only with captureMode NONE', () => {
  const ingress = [http(), { port: { number: 9090, protocol: 'GRPC' }, bind: '10.0.0.2', captureMode: 'NONE' }];
  expect(names(compile({ ingress }).listeners)).toEqual(['10.0.0.1_8080', '10.0.0.2_9090']);
  const captured = compile({ ingress }, { mode: 'REDIRECT' });
  expect(names(captured.listeners)).toEqual(['10.0.0.2_9090', 'virtualInbound']);
  expect(captured.listeners.flatMap(({ filterChains = [] }) => filterChains).map(({ name }) => name)).toContain(
    '10.0.0.1_8080',
  );
});

it('without capture has no listener for captureMode IPTABLES, and says so', () => {
  const { listeners, notes } = compile({ ingress: [http({ captureMode: 'IPTABLES' })] });
  expect(listeners).toEqual([]);
  expect(notes).toEqual([
    'Sidecar shop/sidecar: spec.ingress[0]: port 8080: captureMode IPTABLES: this proxy captures nothing: there is no listener',
  ]);
});

it.each([
  [undefined, { socketAddress: { address: '127.0.0.1', portValue: 8080 } }],
  ['127.0.0.1:9000', { socketAddress: { address: '127.0.0.1', portValue: 9000 } }],
  ['[::1]:9000', { socketAddress: { address: '::1', portValue: 9000 } }],
  ['0.0.0.0:9000', { socketAddress: { address: '10.0.0.1', portValue: 9000 } }],
  ['[::]:9000', { socketAddress: { address: '10.0.0.1', portValue: 9000 } }],
  [':9000', { socketAddress: { address: '10.0.0.1', portValue: 9000 } }],
  ['unix:///run/app.sock', { pipe: { path: '/run/app.sock' } }],
])('defaultEndpoint %s', (defaultEndpoint, address) => {
  const { cluster } = compile({ ingress: [http(defaultEndpoint ? { defaultEndpoint } : {})] });
  expect(cluster(8080)!.loadAssignment!.endpoints![0]!.lbEndpoints![0]!.endpoint!.address).toEqual(address);
});

it('an application at the address of the listener is a loop, and is reported', () => {
  expect(compile({ ingress: [http({ defaultEndpoint: '0.0.0.0:8080' })] }).notes).toEqual([
    'Sidecar shop/sidecar: spec.ingress[0]: port 8080: its defaultEndpoint is the listener itself; give the application another port',
  ]);
});

describe('tls', () => {
  const files = { serverCertificate: '/c.pem', privateKey: '/k.pem' };
  const secured = (tls: object, protocol = 'HTTPS') => ({ port: { number: 8443, name: 'tls', protocol }, tls });
  const chainsOf = (tls: object, protocol?: string, more = [mtls('DISABLE')]) => {
    const { listeners, notes } = compile({ ingress: [secured(tls, protocol)] }, { more });
    return { chains: listeners.flatMap(({ filterChains = [] }) => filterChains), notes };
  };
  const context = (tls: object, protocol?: string) => {
    const [chain, ...others] = chainsOf(tls, protocol).chains;
    expect(others).toEqual([]);
    return { context: chain!.transportSocket!.typedConfig, filter: chain!.filters!.at(-1)!.name };
  };

  it('ends there where mesh mTLS is disabled: HTTPS carries HTTP, TLS bytes; nothing else is served', () => {
    const simple = context({ mode: 'SIMPLE', ...files });
    expect(simple.filter).toBe('envoy.filters.network.http_connection_manager');
    expect(simple.context).toMatchObject({
      requireClientCertificate: false,
      commonTlsContext: {
        alpnProtocols: ['h2', 'http/1.1'],
        tlsCertificates: [{ certificateChain: { filename: '/c.pem' }, privateKey: { filename: '/k.pem' } }],
      },
    });
    expect(context({ mode: 'SIMPLE', ...files }, 'TLS').filter).toBe('envoy.filters.network.tcp_proxy');
  });

  it('asks for client certificates: MUTUAL always, OPTIONAL_MUTUAL where there is one', () => {
    const mutual = context({ mode: 'MUTUAL', ...files, caCertificates: '/ca.pem', caCrl: '/crl.pem' }).context;
    const ca = { trustedCa: { filename: '/ca.pem' } };
    expect(mutual).toMatchObject({
      requireClientCertificate: true,
      commonTlsContext: { validationContext: { ...ca, crl: { filename: '/crl.pem' } } },
    });
    const optional = context({ mode: 'OPTIONAL_MUTUAL', ...files, caCertificates: '/ca.pem' }).context;
    expect(optional).toMatchObject({ requireClientCertificate: false, commonTlsContext: { validationContext: ca } });
  });

  it.each([
    [{ minProtocolVersion: 'TLSV1_3' }, { tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_3' } }],
    [{ maxProtocolVersion: 'TLSV1_2' }, { tlsParams: { tlsMaximumProtocolVersion: 'TLSv1_2' } }],
    [{ cipherSuites: ['AES128-SHA'] }, { tlsParams: { cipherSuites: ['AES128-SHA'] } }],
    [{ ecdhCurves: ['P-256'] }, { tlsParams: { ecdhCurves: ['P-256'] } }],
    [{ verifyCertificateHash: ['aa'] }, { validationContext: { verifyCertificateHash: ['aa'] } }],
    [{ verifyCertificateSpki: ['aa='] }, { validationContext: { verifyCertificateSpki: ['aa='] } }],
    [{ insecureSkipVerify: true }, { validationContext: { trustChainVerification: 'ACCEPT_UNTRUSTED' } }],
  ])('%j', (more, commonTlsContext) => {
    const tls = { mode: 'MUTUAL', ...files, caCertificates: '/ca.pem', ...more };
    expect(context(tls).context).toMatchObject({ commonTlsContext });
  });

  it.each(['credentialName', 'credentialNames', 'tlsCertificates', 'httpsRedirect', 'subjectAltNames'])(
    'refuses %s',
    (field) => {
      const value =
        { credentialName: 'a', httpsRedirect: true }[field] ?? (field === 'tlsCertificates' ? [files] : ['a']);
      const given = resource('Sidecar', { ingress: [secured({ mode: 'SIMPLE', ...files, [field]: value })] });
      expect(validate(given).violations.map(({ path }) => path)).toContain(`spec.ingress[0].tls.${field}`);
    },
  );

  it('has no effect, and is reported, while the port has mesh mTLS', () => {
    const { chains, notes } = chainsOf({ mode: 'SIMPLE', ...files }, 'HTTPS', []);
    expect(notes).toEqual([
      'Sidecar shop/sidecar: spec.ingress[0]: port 8443: tls has no effect: mesh mTLS of the port is PERMISSIVE, it must be DISABLE (PeerAuthentication)',
    ]);
    expect(JSON.stringify(chains)).not.toContain('/c.pem');
  });

  it('without a CA or certificate serves nothing', () => {
    const { chains, notes } = chainsOf({ mode: 'MUTUAL', ...files });
    expect(chains).toEqual([]);
    expect(notes).toEqual(['Sidecar shop/sidecar: spec.ingress[0]: port 8443: tls: MUTUAL names no CA: not served']);
  });
});

describe('limits', () => {
  const pool = (maxConnections: number) => ({ tcp: { maxConnections, connectTimeout: '2s' } });
  const rule = resource('DestinationRule', { host: 'a.example', trafficPolicy: { connectionPool: pool(3) } });
  const limitOf = (spec: object, more: Resource[] = []) => {
    const cluster = compile(spec, { more }).cluster(8080)!;
    return [cluster.circuitBreakers!.thresholds![0]!.maxConnections, cluster.connectTimeout];
  };

  it('are those of the port, then of the Sidecar, then of the DestinationRule of the service', () => {
    const unlimited = 4294967295;
    expect(limitOf({ ingress: [http()] })).toEqual([unlimited, '10s']);
    expect(limitOf({ ingress: [http()] }, [rule])).toEqual([3, '2s']);
    expect(limitOf({ ingress: [http()], inboundConnectionPool: pool(5) }, [rule])).toEqual([5, '2s']);
    expect(limitOf({ ingress: [http({ connectionPool: pool(7) })], inboundConnectionPool: pool(5) }, [rule])).toEqual([
      7,
      '2s',
    ]);
    // Without ingress as well.
    expect(limitOf({ inboundConnectionPool: pool(5) })).toEqual([5, '2s']);
  });

  it.each([
    ['tcp', { connectTimeout: '3s' }],
    ['tcp', { idleTimeout: '3s' }],
    ['tcp', { maxConnections: 4 }],
    ['tcp', { maxConnectionDuration: '3s' }],
    ['tcp', { tcpKeepalive: { probes: 3 } }],
    ['tcp', { tcpKeepalive: { time: '3s' } }],
    ['tcp', { tcpKeepalive: { interval: '3s' } }],
    ['http', { http1MaxPendingRequests: 4 }],
    ['http', { http2MaxRequests: 4 }],
    ['http', { http2KeepAlive: { interval: '3s', timeout: '2s' } }],
    ['http', { idleTimeout: '3s' }],
    ['http', { maxConcurrentStreams: 4 }],
    ['http', { maxRequestsPerConnection: 4 }],
    ['http', { maxRetries: 4 }],
  ])('%s %j', (part, limit) => {
    const grpc = { port: { number: 8080, name: 'grpc', protocol: 'GRPC' } };
    const cluster = (more: object) => compile({ ingress: [{ ...grpc, ...more }] }).cluster(8080);
    const limited = cluster({ connectionPool: { [part]: limit } });
    expect(limited).not.toEqual(cluster({}));
    expect(compile({ ingress: [grpc], inboundConnectionPool: { [part]: limit } }).cluster(8080)).toEqual(limited);
  });

  it.each(['h2UpgradePolicy', 'useClientProtocol'])('take no %s', (field) => {
    const value = field === 'h2UpgradePolicy' ? 'UPGRADE' : true;
    const given = compile({ ingress: [http({ connectionPool: { http: { [field]: value } } })] });
    expect(given.cluster(8080)).toEqual(compile({ ingress: [http()] }).cluster(8080));
  });

  it('of a DestinationRule for some workloads alone do not count', () => {
    const workloadSelector = { matchLabels: { app: 'other' } };
    const selecting = resource('DestinationRule', { ...(rule.spec as object), workloadSelector });
    expect(limitOf({ ingress: [http()] }, [selecting])[0]).toBe(4294967295);
  });
});
