/** What each field of a traffic policy does to the cluster, its endpoints or the routes of its destination. */
import { describe, expect, it } from 'vitest';
import {
  type Description,
  describe as described,
  fieldsOf,
  inner,
} from '../../../shared/resources/describe/description.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { TrafficPolicy } from '../../../shared/resources/schema/destination-rule.ts';
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import { buildView } from '../../mesh/build-view.ts';
import { DEFAULT_SETTINGS } from '../../mesh/mesh-config.ts';
import { compileInSlices, compileNode, compileWithNotes } from '../node/node.ts';
import { notCompiled } from '../node/not-compiled.ts';
import { inOneGo } from '../output/compiled-node.ts';

type Policy = Record<string, unknown>;

const resource = (kind: string, name: string, spec: object, namespace = 'default'): Resource =>
  ({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace }, spec }) as Resource;

const SERVICE = resource('ServiceEntry', 'web', {
  hosts: ['web.test'],
  location: 'MESH_EXTERNAL',
  resolution: 'STATIC',
  ports: [
    { number: 80, name: 'http', protocol: 'HTTP' },
    { number: 82, name: 'http2', protocol: 'HTTP2' },
    { number: 7000, name: 'tcp', protocol: 'TCP' },
  ],
  endpoints: [
    { address: '10.0.0.1', locality: 'r1/z1', labels: { version: 'v1', rack: 'a' } },
    { address: '10.0.0.2', locality: 'r1/z2', labels: { version: 'v2', rack: 'b' } },
    { address: '10.0.0.3', locality: 'r2/z1', labels: { version: 'v1', rack: 'b' } },
  ],
});

interface Given {
  readonly policy?: Policy;
  readonly subsets?: readonly object[];
  readonly more?: object;
  readonly type?: string;
  readonly others?: readonly Resource[];
}

const node = (type: string) => ({
  id: `${type}~10.9.9.9~x.default~default.svc.cluster.local`,
  locality: { region: 'r1', zone: 'z1' },
  metadata: { LABELS: { app: 'x', rack: 'a' }, ...(type === 'sidecar' && { INTERCEPTION_MODE: 'NONE' }) },
});

function viewOf({ policy, subsets = [], more = {}, others = [] }: Given) {
  const rule = { host: 'web.test', ...(policy && { trafficPolicy: policy }), subsets, ...more };
  return buildView([SERVICE, resource('DestinationRule', 'web', rule), ...others], 1, DEFAULT_SETTINGS);
}

const compiled = (given: Given): Snapshot => compileNode(viewOf(given), node(given.type ?? 'sidecar'));
const notesOf = (given: Given) => compileWithNotes(viewOf(given), node(given.type ?? 'sidecar')).notes;

/** The resources of `web.test` at a port: its cluster, with its endpoints, and the filters and routes that lead to it. */
function seen(given: Given, port: number, subset = '') {
  const { clusters, endpoints, listeners, routes } = compiled(given);
  const name = `outbound|${port}|${subset}|web.test`;
  const cluster = clusters.find((one) => one.name === name);
  const assignment = endpoints.find((one) => one.clusterName === name);
  const leads = listeners.filter(({ address }) => address.socketAddress?.portValue === port);
  const hosts = routes.filter((one) => one.name === String(port));
  return JSON.parse(JSON.stringify({ cluster, assignment, leads, hosts })) as Record<string, never>;
}

/** A value somewhere below: `expect.objectContaining` at any depth. */
const holds = (value: unknown, wanted: string): boolean => JSON.stringify(value).includes(wanted);

interface Row {
  readonly policy: Policy;
  /** JSON that is in what is compiled for the port, and is not there without the policy. */
  readonly wanted: string;
  readonly port?: number;
}

const http = (fields: object, wanted: string, port = 80): Row => ({
  policy: { connectionPool: { http: fields } },
  wanted,
  port,
});
const tcp = (fields: object, wanted: string, port = 80): Row => ({
  policy: { connectionPool: { tcp: fields } },
  wanted,
  port,
});
const balancer = (fields: object, wanted: string, port = 80): Row => ({
  policy: { loadBalancer: fields },
  wanted,
  port,
});
const hash = (fields: object, wanted: string, port = 80) => balancer({ consistentHash: fields }, wanted, port);
const outlier = (fields: object, wanted: string): Row => ({ policy: { outlierDetection: fields }, wanted });
const tls = (fields: object, wanted: string): Row => ({ policy: { tls: { mode: 'MUTUAL', ...fields } }, wanted });
const FILES = { clientCertificate: '/c.pem', privateKey: '/k.pem' };

const ROWS: Readonly<Record<string, Row>> = {
  'connectionPool.tcp.maxConnections': tcp({ maxConnections: 9 }, '"maxConnections":9'),
  'connectionPool.tcp.connectTimeout': tcp({ connectTimeout: '1500ms' }, '"connectTimeout":"1.500s"'),
  'connectionPool.tcp.tcpKeepalive.time': tcp({ tcpKeepalive: { time: '61s' } }, '"keepaliveTime":61'),
  'connectionPool.tcp.tcpKeepalive.interval': tcp({ tcpKeepalive: { interval: '7s' } }, '"keepaliveInterval":7'),
  'connectionPool.tcp.tcpKeepalive.probes': tcp({ tcpKeepalive: { probes: 3 } }, '"keepaliveProbes":3'),
  'connectionPool.tcp.maxConnectionDuration': tcp({ maxConnectionDuration: '1h' }, '"maxConnectionDuration":"3600s"'),
  'connectionPool.tcp.idleTimeout': tcp({ idleTimeout: '33s' }, '"idleTimeout":"33s"'),
  'connectionPool.http.http1MaxPendingRequests': http({ http1MaxPendingRequests: 8 }, '"maxPendingRequests":8'),
  'connectionPool.http.http2MaxRequests': http({ http2MaxRequests: 7 }, '"maxRequests":7'),
  'connectionPool.http.maxRequestsPerConnection': http({ maxRequestsPerConnection: 5 }, '"maxRequestsPerConnection":5'),
  'connectionPool.http.maxRetries': http({ maxRetries: 6 }, '"maxRetries":6'),
  'connectionPool.http.idleTimeout': http({ idleTimeout: '34s' }, '"idleTimeout":"34s"'),
  'connectionPool.http.h2UpgradePolicy': http(
    { h2UpgradePolicy: 'UPGRADE' },
    '"explicitHttpConfig":{"http2ProtocolOptions":{}}',
  ),
  'connectionPool.http.useClientProtocol': http({ useClientProtocol: true }, '"useDownstreamProtocolConfig"'),
  'connectionPool.http.maxConcurrentStreams': http({ maxConcurrentStreams: 4 }, '"maxConcurrentStreams":4', 82),
  'connectionPool.http.http2KeepAlive.interval': http(
    { http2KeepAlive: { interval: '30s', timeout: '5s' } },
    '"connectionKeepalive":{"interval":"30s"',
    82,
  ),
  'connectionPool.http.http2KeepAlive.timeout': http(
    { http2KeepAlive: { interval: '30s', timeout: '5s' } },
    '"timeout":"5s"}',
    82,
  ),
  'loadBalancer.simple': balancer({ simple: 'RANDOM' }, '"lbPolicy":"RANDOM"'),
  'loadBalancer.consistentHash.httpHeaderName': hash(
    { httpHeaderName: 'x-user' },
    '"hashPolicy":[{"header":{"headerName":"x-user"}}]',
  ),
  'loadBalancer.consistentHash.httpCookie.name': hash({ httpCookie: { name: 'who' } }, '"cookie":{"name":"who"}'),
  'loadBalancer.consistentHash.httpCookie.path': hash({ httpCookie: { name: 'who', path: '/p' } }, '"path":"/p"'),
  'loadBalancer.consistentHash.httpCookie.ttl': hash({ httpCookie: { name: 'who', ttl: '60s' } }, '"ttl":"60s"'),
  'loadBalancer.consistentHash.httpCookie.attributes.name': hash(
    { httpCookie: { name: 'who', ttl: '60s', attributes: [{ name: 'Secure' }] } },
    '"attributes":[{"name":"Secure"}]',
  ),
  'loadBalancer.consistentHash.httpCookie.attributes.value': hash(
    { httpCookie: { name: 'who', ttl: '60s', attributes: [{ name: 'SameSite', value: 'Lax' }] } },
    '"attributes":[{"name":"SameSite","value":"Lax"}]',
  ),
  'loadBalancer.consistentHash.useSourceIp': hash({ useSourceIp: true }, '"hashPolicy":[{"sourceIp":{}}]', 7000),
  'loadBalancer.consistentHash.httpQueryParameterName': hash(
    { httpQueryParameterName: 'uid' },
    '"queryParameter":{"name":"uid"}',
  ),
  'loadBalancer.consistentHash.ringHash.minimumRingSize': hash(
    { useSourceIp: true, ringHash: { minimumRingSize: 512 } },
    '"ringHashLbConfig":{"minimumRingSize":512}',
  ),
  'loadBalancer.consistentHash.minimumRingSize': hash(
    { useSourceIp: true, minimumRingSize: 256 },
    '"ringHashLbConfig":{"minimumRingSize":256}',
  ),
  'loadBalancer.consistentHash.maglev.tableSize': hash(
    { useSourceIp: true, maglev: { tableSize: 1021 } },
    '"maglevLbConfig":{"tableSize":1021}',
  ),
  'loadBalancer.localityLbSetting.enabled': {
    policy: { loadBalancer: { localityLbSetting: { enabled: true } }, outlierDetection: {} },
    wanted: '"priority":1',
  },
  'loadBalancer.localityLbSetting.distribute.from': balancer(
    { localityLbSetting: { distribute: [{ from: 'r1/z1/*', to: { 'r1/*': 70, 'r2/*': 30 } }] } },
    '"loadBalancingWeight":30',
  ),
  'loadBalancer.localityLbSetting.distribute.to': balancer(
    { localityLbSetting: { distribute: [{ from: '*', to: { 'r2/*': 100 } }] } },
    '"lbEndpoints":[]',
  ),
  'loadBalancer.localityLbSetting.failover.from': {
    policy: { loadBalancer: { localityLbSetting: { failover: [{ from: 'r1', to: 'r2' }] } }, outlierDetection: {} },
    wanted: '"priority":2',
  },
  'loadBalancer.localityLbSetting.failover.to': {
    policy: { loadBalancer: { localityLbSetting: { failover: [{ from: 'r1', to: 'r3' }] } }, outlierDetection: {} },
    wanted: '"priority":2',
  },
  'loadBalancer.localityLbSetting.failoverPriority': {
    policy: { loadBalancer: { localityLbSetting: { failoverPriority: ['rack'] } }, outlierDetection: {} },
    wanted: '"priority":1',
  },
  'loadBalancer.warmup.duration': balancer(
    { simple: 'ROUND_ROBIN', warmup: { duration: '30s' } },
    '"roundRobinLbConfig":{"slowStartConfig":{"slowStartWindow":"30s"',
  ),
  'loadBalancer.warmup.aggression': balancer(
    { warmup: { duration: '30s', aggression: 2 } },
    '"aggression":{"defaultValue":2',
  ),
  'loadBalancer.warmup.minimumPercent': balancer(
    { warmup: { duration: '30s', minimumPercent: 25 } },
    '"minWeightPercent":{"value":25}',
  ),
  'loadBalancer.warmupDurationSecs': balancer(
    { warmupDurationSecs: '45s' },
    '"leastRequestLbConfig":{"slowStartConfig":{"slowStartWindow":"45s"',
  ),
  'loadBalancer.zoneAwareLbSetting.enabled': balancer(
    { zoneAwareLbSetting: { enabled: true } },
    '"zoneAwareLbConfig":{"routingEnabled":{"value":100},"minClusterSize":6}',
  ),
  'loadBalancer.zoneAwareLbSetting.minClusterSize': balancer(
    { zoneAwareLbSetting: { enabled: true, minClusterSize: 2 } },
    '"minClusterSize":2',
  ),
  'loadBalancer.zoneAwareLbSetting.failover.from': balancer(
    { zoneAwareLbSetting: { enabled: true, failover: [{ from: 'r1', to: 'r2' }] } },
    '"priority":1',
  ),
  'loadBalancer.zoneAwareLbSetting.failover.to': balancer(
    { zoneAwareLbSetting: { enabled: true, failover: [{ from: 'r1', to: 'r2' }] } },
    '"priority":1',
  ),
  'loadBalancer.zoneAwareLbSetting.failoverPriority': balancer(
    { zoneAwareLbSetting: { enabled: true, failoverPriority: ['rack'] } },
    '"priority":2',
  ),
  'outlierDetection.baseEjectionTime': outlier({ baseEjectionTime: '31s' }, '"baseEjectionTime":"31s"'),
  'outlierDetection.consecutive5xxErrors': outlier(
    { consecutive5xxErrors: 3 },
    '"consecutive5xx":3,"enforcingConsecutive5xx":100',
  ),
  'outlierDetection.consecutiveErrors': outlier({ consecutiveErrors: 4 }, '"consecutiveGatewayFailure":4'),
  'outlierDetection.consecutiveGatewayErrors': outlier(
    { consecutiveGatewayErrors: 0 },
    '"consecutiveGatewayFailure":0,"enforcingConsecutiveGatewayFailure":0',
  ),
  'outlierDetection.consecutiveLocalOriginFailures': outlier(
    { splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2 },
    '"consecutiveLocalOriginFailure":2',
  ),
  'outlierDetection.interval': outlier({ interval: '11s' }, '"interval":"11s"'),
  'outlierDetection.maxEjectionPercent': outlier({ maxEjectionPercent: 60 }, '"maxEjectionPercent":60'),
  'outlierDetection.minHealthPercent': outlier({ minHealthPercent: 30 }, '"healthyPanicThreshold":{"value":30}'),
  'outlierDetection.outlierDetectionHttpErrorCodes': outlier(
    { outlierDetectionHttpErrorCodes: [429, 500] },
    '"orMatch":{"rules":[{"httpResponseHeadersMatch":{"headers":[{"name":":status","stringMatch":{"exact":"429"}}]}},',
  ),
  'outlierDetection.splitExternalLocalOriginErrors': outlier(
    { splitExternalLocalOriginErrors: true },
    '"splitExternalLocalOriginErrors":true',
  ),
  'tls.mode': { policy: { tls: { mode: 'SIMPLE' } }, wanted: '/etc/ssl/certs/ca-certificates.crt' },
  'tls.clientCertificate': tls(FILES, '"certificateChain":{"filename":"/c.pem"}'),
  'tls.privateKey': tls(FILES, '"privateKey":{"filename":"/k.pem"}'),
  'tls.caCertificates': tls({ ...FILES, caCertificates: '/ca.pem' }, '"trustedCa":{"filename":"/ca.pem"}'),
  'tls.caCrl': tls({ ...FILES, caCrl: '/crl.pem' }, '"crl":{"filename":"/crl.pem"}'),
  'tls.credentialName': tls({ credentialName: 'cert' }, '"name":"kubernetes://cert"'),
  'tls.insecureSkipVerify': tls({ ...FILES, insecureSkipVerify: true }, '"validationContext":{}'),
  'tls.sni': tls({ ...FILES, sni: 'a.test' }, '"sni":"a.test"'),
  'tls.subjectAltNames': tls({ ...FILES, subjectAltNames: ['b.test'] }, '"matcher":{"exact":"b.test"}'),
  'proxyProtocol.version': {
    policy: { proxyProtocol: { version: 'V2' } },
    wanted: '"name":"envoy.transport_sockets.upstream_proxy_protocol"',
  },
  'retryBudget.percent': { policy: { retryBudget: { percent: 25 } }, wanted: '"budgetPercent":{"value":25}' },
  'retryBudget.minRetryConcurrency': {
    policy: { retryBudget: { minRetryConcurrency: 9 } },
    wanted: '"minRetryConcurrency":9',
  },
  'retryBudget.budgetInterval': {
    policy: { retryBudget: { budgetInterval: '10s' } },
    wanted: '"budgetInterval":"10s"',
  },
  'tunnel.protocol': {
    policy: { tunnel: { targetHost: 'far.test', targetPort: 443, protocol: 'POST' } },
    wanted: '"usePost":true',
    port: 7000,
  },
  'tunnel.targetHost': {
    policy: { tunnel: { targetHost: 'far.test', targetPort: 443 } },
    wanted: '"tunnelingConfig":{"hostname":"far.test:443"}',
    port: 7000,
  },
  'tunnel.targetPort': {
    policy: { tunnel: { targetHost: '2001:db8::1', targetPort: 8443 } },
    wanted: '"hostname":"[2001:db8::1]:8443"',
    port: 7000,
  },
};

/** Reported, with a reason, in the table of effects. */
const REPORTED = /^loadBalancer\.backendUtilization\./;

function leaves(description: Description, path: string): string[] {
  const fields = fieldsOf(description);
  if (fields.length === 0) return [path];
  return fields.flatMap(({ name, description: field }) =>
    leaves(inner(field).shape.type === 'object' ? inner(field) : field, path === '' ? name : `${path}.${name}`),
  );
}

describe('a field of a traffic policy', () => {
  const fields = leaves(described(TrafficPolicy), '').filter((path) => !path.startsWith('portLevelSettings.'));

  it('has a row here', () => {
    expect(fields.filter((path) => !ROWS[path] && !REPORTED.test(path))).toEqual([]);
  });

  it.each(Object.entries(ROWS))('%s', (path, { policy, wanted, port = 80 }) => {
    expect(fields).toContain(path);
    expect(holds(seen({}, port), wanted), `without: ${wanted}`).toBe(false);
    const type = path === 'tls.credentialName' ? 'router' : 'sidecar';
    expect(seen({ policy, type }, port)).toSatisfy((value: unknown) => holds(value, wanted));
  });

  it.each(Object.entries(ROWS).filter(([path]) => !/^(proxyProtocol|retryBudget|tunnel)\./.test(path)))(
    '%s holds at one port alone, among the settings of the port',
    (path, { policy, wanted, port = 80 }) => {
      const portLevelSettings = [{ port: { number: port }, ...policy }];
      const given = { policy: { portLevelSettings }, type: path === 'tls.credentialName' ? 'router' : 'sidecar' };
      expect(seen(given, port)).toSatisfy((value: unknown) => holds(value, wanted));
      const other = port === 80 ? 7000 : 80;
      expect(holds(seen(given, other), wanted)).toBe(false);
    },
  );

  it.each(
    Object.entries(ROWS).filter(
      ([path]) => !path.startsWith('loadBalancer.consistentHash') && !path.startsWith('tunnel.'),
    ),
  )('%s holds for a subset alone, in its policy', (path, { policy, wanted, port = 80 }) => {
    const given = {
      subsets: [{ name: 'one', labels: {}, trafficPolicy: policy }],
      type: path === 'tls.credentialName' ? 'router' : 'sidecar',
    };
    const { cluster, assignment } = seen(given, port, 'one');
    expect({ cluster, assignment }).toSatisfy((value: unknown) => holds(value, wanted));
    expect(holds(seen(given, port), wanted)).toBe(false);
  });
});

describe('levels of a traffic policy', () => {
  const policy = {
    loadBalancer: { simple: 'ROUND_ROBIN' },
    connectionPool: { tcp: { maxConnections: 9 } },
    proxyProtocol: { version: 'V1' },
    retryBudget: { percent: 50 },
    portLevelSettings: [{ port: { number: 82 }, connectionPool: { tcp: { maxConnections: 4 } } }],
  };
  const proxied = 'upstream_proxy_protocol';

  it('the settings of a port replace all others, with defaults for what they leave out', () => {
    const at = seen({ policy }, 82).cluster;
    expect(at).toMatchObject({ lbPolicy: 'LEAST_REQUEST', circuitBreakers: { thresholds: [{ maxConnections: 4 }] } });
    expect(holds(at, proxied)).toBe(false);
    expect(holds(at, 'retryBudget')).toBe(false);
    expect(holds(seen({ policy }, 80).cluster, proxied)).toBe(true);
  });

  it('a subset inherits what it does not write', () => {
    const subsets = [{ name: 'one', labels: { version: 'v1' }, trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } }];
    const { cluster, assignment } = seen({ policy, subsets }, 80, 'one');
    expect(cluster).toMatchObject({ lbPolicy: 'RANDOM', circuitBreakers: { thresholds: [{ maxConnections: 9 }] } });
    expect(holds(cluster, proxied)).toBe(true);
    expect(JSON.stringify(assignment).match(/10\.0\.0\.\d/g)).toEqual(['10.0.0.1', '10.0.0.3']);
    expect(seen({ policy, subsets }, 82, 'one').cluster).toMatchObject({
      lbPolicy: 'RANDOM',
      circuitBreakers: { thresholds: [{ maxConnections: 4 }] },
    });
  });

  it('the settings of a subset for a port replace those of the rule, and keep what ports do not have', () => {
    const subsets = [
      {
        name: 'one',
        trafficPolicy: { portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: 'RANDOM' } }] },
      },
    ];
    const { cluster } = seen({ policy, subsets }, 80, 'one');
    expect(cluster).toMatchObject({
      lbPolicy: 'RANDOM',
      circuitBreakers: { thresholds: [{ maxConnections: 4294967295 }] },
    });
    expect(holds(cluster, proxied)).toBe(true);
  });
});

describe('which rule is in force', () => {
  const rule = (namespace: string, name: string, spec: object) =>
    resource('DestinationRule', name, { host: 'web.test', ...spec }, namespace);
  const connections = (maxConnections: number) => ({ trafficPolicy: { connectionPool: { tcp: { maxConnections } } } });
  const limit = (rules: readonly Resource[], service = SERVICE) => {
    const view = buildView([service, ...rules], 1, DEFAULT_SETTINGS);
    const { clusters } = compileNode(view, node('sidecar'));
    return clusters.find(({ name }) => name === 'outbound|80||web.test')?.circuitBreakers?.thresholds?.[0]
      ?.maxConnections;
  };
  const elsewhere = { ...SERVICE, metadata: { name: 'web', namespace: 'shop' } } as Resource;

  it('that of the client´s namespace, then of the service´s, then of the root namespace', () => {
    const [client, service, root] = [
      rule('default', 'a', connections(1)),
      rule('shop', 'b', connections(2)),
      rule('istio-system', 'c', connections(3)),
    ];
    expect(limit([root, service, client], elsewhere)).toBe(1);
    expect(limit([root, service], elsewhere)).toBe(2);
    expect(limit([root], elsewhere)).toBe(3);
  });

  it('only one that is exported to the client', () => {
    expect(limit([rule('shop', 'b', { ...connections(2), exportTo: ['.'] })], elsewhere)).toBe(4294967295);
    expect(limit([rule('shop', 'b', { ...connections(2), exportTo: ['default'] })], elsewhere)).toBe(2);
    expect(limit([rule('shop', 'b', { ...connections(2), exportTo: ['*'] })], elsewhere)).toBe(2);
  });

  it('one whose workloadSelector picks the client before one without', () => {
    const selected = (app: string) =>
      rule('default', 'sel', { ...connections(5), workloadSelector: { matchLabels: { app } } });
    expect(limit([rule('default', 'a', connections(1)), selected('x')])).toBe(5);
    expect(limit([rule('default', 'a', connections(1)), selected('y')])).toBe(1);
  });

  it('rules for one host are merged: subsets of all, the policy of the first that has one', () => {
    const rules = [
      rule('default', 'a', { subsets: [{ name: 'one', labels: { version: 'v1' } }] }),
      rule('default', 'b', { ...connections(7), subsets: [{ name: 'two', labels: { version: 'v2' } }] }),
    ];
    expect(limit(rules)).toBe(7);
    const { clusters } = compileNode(buildView([SERVICE, ...rules], 1, DEFAULT_SETTINGS), node('sidecar'));
    const names = clusters.map(({ name }) => name);
    expect(names).toContain('outbound|80|one|web.test');
    expect(names).toContain('outbound|80|two|web.test');
  });
});

describe('the host of a request in TLS that leaves the mesh', () => {
  const options = (tls: object) =>
    Object.values(
      compiled({ policy: { tls } }).clusters.find(({ name }) => name === 'outbound|80||web.test')
        ?.typedExtensionProtocolOptions ?? {},
    );

  it('is the SNI and must be in the certificate, unless names are written', () => {
    expect(options({ mode: 'SIMPLE' })).toMatchObject([
      { upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true } },
    ]);
    expect(options({ mode: 'SIMPLE', subjectAltNames: ['a'] })).toMatchObject([
      { upstreamHttpProtocolOptions: { autoSni: true } },
    ]);
    expect(JSON.stringify(options({ mode: 'SIMPLE', subjectAltNames: ['a'] }))).not.toContain('autoSanValidation');
    expect(JSON.stringify(options({ mode: 'SIMPLE', insecureSkipVerify: true }))).not.toContain('autoSanValidation');
    expect(options({ mode: 'SIMPLE', sni: 'a' })).toEqual([]);
  });
});

describe('what is not in force as written is said', () => {
  it('a tunnel for requests of an HTTP port', () => {
    const notes = notesOf({ policy: { tunnel: { targetHost: 'a.test', targetPort: 1 } } });
    expect(notes).toEqual([
      'DestinationRule default/web: spec.trafficPolicy.tunnel: is for TCP and TLS: requests of HTTP ports are sent without a tunnel',
    ]);
  });

  it('also in the status of the rule, or of the rule that has the subset', () => {
    const tunnel = { targetHost: 'a.test', targetPort: 1 };
    const subsets = [{ name: 's', labels: {}, trafficPolicy: { tunnel } }];
    for (const given of [{ policy: { tunnel } }, { subsets }])
      expect(inOneGo(compileInSlices(viewOf(given), node('sidecar'))).errors).toEqual([
        {
          about: expect.objectContaining({ kind: 'DestinationRule' }),
          reason: 'FieldWithoutEffect',
          message: expect.stringMatching(/^spec\.trafficPolicy\.tunnel: is for TCP and TLS/),
        },
      ]);
  });

  it('a credential that the proxy may not read: no connection is made', () => {
    const policy = { tls: { mode: 'MUTUAL', credentialName: 'cert' } };
    expect(notesOf({ policy }).join('\n')).toContain('credentialName: is read by gateways, and by sidecars that');
    const { cluster } = seen({ policy }, 80);
    expect(holds(cluster, 'kubernetes://cert-cacert')).toBe(true);
    expect(holds(cluster, 'ca-certificates.crt')).toBe(false);
    expect(compiled({ policy }).secrets).toEqual([]);
  });

  it('destinations of one route that do not agree on their tunnel: connections are refused', () => {
    const subsets = [
      { name: 'near', labels: {} },
      { name: 'far', labels: {}, trafficPolicy: { tunnel: { targetHost: 'a.test', targetPort: 1 } } },
    ];
    const route = ['near', 'far'].map((subset) => ({ destination: { host: 'web.test', subset }, weight: 50 }));
    const service = resource('VirtualService', 'web', { hosts: ['web.test'], tcp: [{ route }] });
    const found = inOneGo(compileInSlices(viewOf({ subsets, others: [service] }), node('sidecar'))).errors;
    expect(found).toContainEqual({
      about: service,
      reason: 'RuleNotTranslated',
      message: expect.stringMatching(
        /^spec\.tcp: the destinations .*near\S*, .*far\S* of one route have different tunnels/,
      ),
    });
    expect(notesOf({ subsets, others: [service] }).join('\n')).toContain('have different tunnels');
    expect(holds(seen({ subsets, others: [service] }, 7000).leads, '"cluster":"BlackHoleCluster"')).toBe(true);
    const same = [subsets[1]!, { ...subsets[1]!, name: 'near' }];
    const leads = seen({ subsets: same, others: [service] }, 7000).leads;
    expect(holds(leads, '"tunnelingConfig":{"hostname":"a.test:1"}')).toBe(true);
  });
});

describe('settings of a destination at ports that have their own', () => {
  it('are reported as without effect there', () => {
    const trafficPolicy = {
      proxyProtocol: { version: 'V1' },
      portLevelSettings: [{ port: { number: 82 }, loadBalancer: { simple: 'RANDOM' } }],
    };
    const subsets = [{ name: 'one', trafficPolicy: { ...trafficPolicy, retryBudget: { percent: 3 } } }];
    const found = notCompiled(resource('DestinationRule', 'web', { host: 'web.test', trafficPolicy, subsets }));
    expect(found.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'spec.trafficPolicy.proxyProtocol: has no effect at port 82, which has settings of its own',
      'spec.subsets[0].trafficPolicy.proxyProtocol: has no effect at port 82, which has settings of its own',
      'spec.subsets[0].trafficPolicy.retryBudget: has no effect at port 82, which has settings of its own',
    ]);
  });
});

describe('the credentials of a rule with a workloadSelector', () => {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cert', namespace: 'default' },
    data: { 'tls.crt': 'YQ==', 'tls.key': 'Yg==', 'ca.crt': 'Yw==' },
  } as unknown as Resource;
  const policy = { tls: { mode: 'MUTUAL', credentialName: 'cert' } };
  const select = (app: string, type = 'sidecar') =>
    compiled({ policy, more: { workloadSelector: { matchLabels: { app } } }, others: [secret], type });

  it('are sent to the sidecars that it picks, and to no others', () => {
    expect(select('x').secrets?.map(({ name }) => name)).toEqual(['kubernetes://cert', 'kubernetes://cert-cacert']);
    expect(select('y').secrets).toEqual([]);
    expect(select('x', 'worker').secrets).toEqual([]);
  });
});
