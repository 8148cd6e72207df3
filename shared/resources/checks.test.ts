/** Rules of Istio's webhook that its published cases do not show: one input each, and all its findings. */
import { describe, expect, it } from 'vitest';
import { kindByName, kinds, validate } from './index.ts';

type Json = Record<string, unknown>;

/** Findings of a resource with this spec: `violation <path> <rule>`, `warn <path> <rule>`. */
function said(name: string, spec: unknown, metadata: Json = {}): string[] {
  const kind = kinds.find((each) => each.kind === name)!;
  const apiVersion = `${kind.group}/${kind.versions[0]}`;
  const { violations, warnings } = validate({ apiVersion, kind: name, metadata: { name: 'x', ...metadata }, spec });
  return [
    ...violations.map(({ path, rule }) => `violation ${path} ${rule}`),
    ...warnings.map(({ path, rule }) => `warn ${path} ${rule}`),
  ];
}

const to = (host = 'a') => ({ route: [{ destination: { host } }] });
const http = (...routes: Json[]) => ({ hosts: ['a.b'], http: routes });
const route = (fields: Json) => http({ ...to(), ...fields });
const match = (...matches: Json[]) => ({ match: matches, ...to() });
const policy = (trafficPolicy: Json) => ({ host: 'a.b', trafficPolicy });
const server = (tls: Json, protocol = 'HTTPS') => ({
  servers: [{ port: { number: 443, name: 'x', protocol }, hosts: ['a.b'], tls }],
});
const entry = (fields: Json) => ({
  hosts: ['a.b'],
  resolution: 'STATIC',
  ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
  ...fields,
});
const certificate = { serverCertificate: '/c', privateKey: '/k' };

describe('VirtualService', () => {
  it.each<[string, Json, string[]]>([
    ['one host', { hosts: ['a.b', '*.b'], http: [to()] }, ['violation spec.hosts[1] virtualservice.host']],
    [
      'one wildcard',
      { hosts: ['*.c', '*.a.b', 'x.c', '*.b'], http: [to()] },
      ['violation spec.hosts[2] virtualservice.host', 'violation spec.hosts[3] virtualservice.host'],
    ],
    ['hosts that only look alike', { hosts: ['a.b', 'xa.b', '*.a.b'], http: [to()] }, []],
    [
      'claims only at gateways',
      route({ match: [{ headers: { '@request.auth.claims.sub': { exact: 'x' } } }] }),
      ['violation spec.http[0].match[0].headers["@request.auth.claims.sub"] virtualservice.jwt-claim'],
    ],
    [
      'a namespace that is none',
      route({ match: [{ sourceNamespace: 'a_b' }] }),
      ['violation spec.http[0].match[0].sourceNamespace name'],
    ],
    [
      'an unknown pseudo header',
      route({ match: [{ headers: { ':host': { exact: 'x' } } }] }),
      ['violation spec.http[0].match[0].headers[":host"] virtualservice.match'],
    ],
    ['Host of a request may be set', route({ headers: { request: { add: { Host: 'x', ':authority': 'y' } } } }), []],
    [
      'Host of a response may not',
      route({ headers: { response: { set: { host: 'x' } } } }),
      ['violation spec.http[0].headers.response.set.host virtualservice.header'],
    ],
    [
      'control characters',
      route({ headers: { request: { set: { a: 'x\ny' } } } }),
      ['violation spec.http[0].headers.request.set.a virtualservice.header'],
    ],
    [
      'a fault without effect',
      route({ fault: { abort: { percentage: { value: 1 } }, delay: { percentage: { value: 1 } } } }),
      ['warn spec.http[0].fault.abort virtualservice.fault', 'warn spec.http[0].fault.delay virtualservice.fault'],
    ],
    [
      'a fraction too small',
      route({ fault: { abort: { httpStatus: 500, percentage: { value: 0.00001 } } } }),
      ['violation spec.http[0].fault.abort.percentage.value percent'],
    ],
    [
      'a redirect to nowhere',
      http({ redirect: { redirectCode: 302 } }),
      ['violation spec.http[0].redirect virtualservice.redirect'],
    ],
    [
      'an unknown status',
      route({ retries: { attempts: 1, retryOn: '5xx,299' } }),
      ['violation spec.http[0].retries.retryOn virtualservice.retries'],
    ],
    [
      'CORS headers are names',
      route({ corsPolicy: { allowHeaders: ['*', 'x-a'], exposeHeaders: ['a b'] } }),
      ['violation spec.http[0].corsPolicy.exposeHeaders[0] virtualservice.cors'],
    ],
  ])('%s', (_, spec, wanted) => expect(said('VirtualService', spec)).toEqual(wanted));

  const ineffective = (i: number, j: number) => `warn spec.http[${i}].match[${j}] virtualservice.ineffective`;
  const unreachable = (i: number) => `warn spec.http[${i}] virtualservice.unreachable`;
  it.each<[string, Json[], string[]]>([
    ['after a route without match', [to(), to(), match({ port: 1 })], [unreachable(1), unreachable(2)]],
    ['after a match of everything', [match({ uri: { regex: '.*' } }), to()], [unreachable(1)]],
    ['after prefix /', [match({ uri: { prefix: '/' } }), match({ uri: { exact: '/a' } })], [unreachable(1)]],
    ['prefix / with another condition', [match({ uri: { prefix: '/' }, port: 1 }), to()], []],
    ['an empty match', [match({ name: 'all' }), to()], [unreachable(1)]],
    [
      'the same match with another name and order',
      [match({ name: 'a', port: 1, method: { exact: 'GET' } }), match({ method: { exact: 'GET' }, port: 1 })],
      [ineffective(1, 0), unreachable(1)],
    ],
    ['one of two matches is the same', [match({ port: 1 }), match({ port: 1 }, { port: 2 })], [ineffective(1, 0)]],
    [
      'a prefix within a prefix',
      [match({ uri: { prefix: '/a' } }), match({ uri: { prefix: '/ab' }, headers: { x: { exact: 'y' } } })],
      [ineffective(1, 0)],
    ],
    [
      'a prefix under one with more conditions',
      [match({ uri: { prefix: '/a' }, headers: { x: { exact: 'y' } } }), match({ uri: { prefix: '/ab' } })],
      [],
    ],
    ['the other way round', [match({ uri: { prefix: '/ab' } }), match({ uri: { prefix: '/a' } })], []],
  ])('reach: %s', (_, routes, wanted) => expect(said('VirtualService', http(...routes))).toEqual(wanted));

  it('reach of tls and tcp routes', () => {
    const sni = { match: [{ sniHosts: ['a.b'] }], ...to() };
    expect(said('VirtualService', { hosts: ['a.b'], tls: [sni, sni], tcp: [to(), to()] })).toEqual([
      'warn spec.tls[1].match[0] virtualservice.ineffective',
      'warn spec.tls[1] virtualservice.unreachable',
      'warn spec.tcp[1] virtualservice.unreachable',
    ]);
  });
});

describe('DestinationRule', () => {
  const at = 'spec.trafficPolicy';
  it.each<[string, Json, string[]]>([
    [
      'subsets by one name',
      { host: 'a.b', subsets: [{ name: 'v1' }, { name: 'v1' }] },
      ['violation spec.subsets[1].name destinationrule.subset'],
    ],
    [
      'a tunnel and the PROXY protocol',
      policy({ tunnel: { targetHost: 'a.b', targetPort: 1 }, proxyProtocol: { version: 'V1' } }),
      [`violation ${at} trafficpolicy.tunnel`],
    ],
    [
      'a port without settings',
      policy({ portLevelSettings: [{ port: { number: 80 } }] }),
      [`violation ${at}.portLevelSettings[0] trafficpolicy.empty`],
    ],
    ['no idle timeout', policy({ connectionPool: { tcp: { idleTimeout: '0s' } } }), []],
    [
      'idle for less than a millisecond',
      policy({ connectionPool: { tcp: { idleTimeout: '10us' } } }),
      [`violation ${at}.connectionPool.tcp.idleTimeout value`],
    ],
    [
      'a ring size twice',
      policy({ loadBalancer: { consistentHash: { useSourceIp: true, minimumRingSize: 5, ringHash: {} } } }),
      [
        `violation ${at}.loadBalancer.consistentHash loadbalancer.hash`,
        `warn ${at}.loadBalancer.consistentHash.minimumRingSize deprecated`,
      ],
    ],
    [
      'a hash of nothing',
      policy({ loadBalancer: { consistentHash: { ringHash: {} } } }),
      [`warn ${at}.loadBalancer.consistentHash loadbalancer.hash`],
    ],
    [
      'MUTUAL without verification',
      policy({ tls: { mode: 'MUTUAL', insecureSkipVerify: true, caCertificates: '/c', credentialName: 'x' } }),
      [`violation ${at}.tls.caCertificates client-tls`, `violation ${at}.tls.caCertificates client-tls`],
    ],
    [
      'certificates of its own with ISTIO_MUTUAL',
      policy({ tls: { mode: 'ISTIO_MUTUAL', privateKey: '/k' } }),
      [`warn ${at}.tls.privateKey client-tls`],
    ],
    [
      'failover by topology twice',
      policy({
        outlierDetection: {},
        loadBalancer: {
          localityLbSetting: {
            failover: [{ from: 'a', to: 'b' }],
            failoverPriority: ['topology.kubernetes.io/zone'],
          },
        },
      }),
      [`violation ${at}.loadBalancer.localityLbSetting.failoverPriority loadbalancer.locality`],
    ],
  ])('%s', (_, spec, wanted) => expect(said('DestinationRule', spec)).toEqual(wanted));
});

describe('Gateway', () => {
  const at = 'spec.servers[0].tls';
  it.each<[string, Json, string[]]>([
    ['plain HTTP without TLS settings', server({ mode: 'PASSTHROUGH' }, 'HTTP'), []],
    ['plain HTTP that redirects', server({ httpsRedirect: true }, 'HTTP'), []],
    [
      'plain HTTP with certificates',
      server({ httpsRedirect: true, mode: 'SIMPLE', ...certificate }, 'HTTP'),
      [`violation ${at} gateway.tls`],
    ],
    ['TCP with TLS', server({ mode: 'PASSTHROUGH' }, 'TCP'), [`violation ${at} gateway.tls`]],
    [
      'old TLS without its ciphers',
      server({ mode: 'SIMPLE', minProtocolVersion: 'TLSV1_1', ...certificate }),
      [`warn ${at}.minProtocolVersion gateway.tls`],
    ],
    [
      'revocation without client certificates',
      server({ mode: 'SIMPLE', caCrl: '/r', ...certificate }),
      [`violation ${at}.caCrl gateway.tls`],
    ],
    [
      'OPTIONAL_MUTUAL without roots',
      server({ mode: 'OPTIONAL_MUTUAL', ...certificate }),
      [`violation ${at}.caCertificates gateway.tls`],
    ],
    [
      'a cipher twice, and an operator',
      server({ mode: 'SIMPLE', ...certificate, cipherSuites: ['AES128-SHA', '-AES256-SHA', 'AES128-SHA', 'X'] }),
      [`warn ${at}.cipherSuites[2] gateway.tls`, `warn ${at}.cipherSuites[3] gateway.tls`],
    ],
  ])('%s', (_, spec, wanted) => expect(said('Gateway', spec)).toEqual(wanted));

  it('a name with dots', () => {
    expect(said('Gateway', server({}, 'TLS'), { name: 'a.b' })).toEqual(['violation metadata.name gateway.name']);
  });
});

describe('ServiceEntry and Sidecar', () => {
  const tcp = [{ number: 1, name: 'tcp', protocol: 'TCP' }];
  it.each<[string, Json, string[]]>([
    [
      'several hosts over plain TCP',
      entry({ hosts: ['a.b', 'c.d'], ports: tcp, addresses: ['1.2.3.4'] }),
      ['violation spec.ports[0].protocol serviceentry.many-hosts'],
    ],
    [
      'with resolution NONE they are not used',
      entry({ hosts: ['a.b', 'c.d'], ports: tcp, addresses: ['1.2.3.4'], resolution: 'NONE' }),
      [],
    ],
    [
      'a wildcard cannot be resolved, with a selector either',
      entry({ hosts: ['*.b'], resolution: 'DNS', workloadSelector: { labels: { a: 'b' } } }),
      ['violation spec.hosts serviceentry.resolution'],
    ],
    ['a selector without labels', entry({ workloadSelector: {} }), ['warn spec.workloadSelector selector.empty']],
    [
      'addresses that match everything',
      entry({ addresses: ['0.0.0.0/0', '10.0.0.0/8', '::/0', '0.0.0.0'] }),
      [0, 2, 3].map((i) => `warn spec.addresses[${i}] serviceentry.every-address`),
    ],
  ])('%s', (_, spec, wanted) => expect(said('ServiceEntry', spec)).toEqual(wanted));

  it.each<[string, Json, string[]]>([
    [
      'a target port',
      { ingress: [{ port: { number: 80, protocol: 'HTTP', name: 'a_b', targetPort: 1 } }] },
      ['violation spec.ingress[0].port.name port-name', 'violation spec.ingress[0].port.targetPort sidecar.port'],
    ],
    [
      'TLS on a plain port',
      { ingress: [{ port: { number: 80, protocol: 'HTTP' }, tls: { mode: 'SIMPLE', ...certificate } }] },
      ['violation spec.ingress[0].tls sidecar.tls'],
    ],
    ['a host twice', { egress: [{ hosts: ['a/b.c', 'a/b.c'] }] }, ['warn spec.egress[0].hosts[1] sidecar.host']],
    [
      'a selector without labels',
      { workloadSelector: {}, egress: [{ hosts: ['*/*'] }] },
      ['warn spec.workloadSelector selector.empty'],
    ],
  ])('Sidecar: %s', (_, spec, wanted) => expect(said('Sidecar', spec)).toEqual(wanted));
});

describe('policies', () => {
  it.each(['AuthorizationPolicy', 'PeerAuthentication', 'RequestAuthentication', 'Telemetry', 'ProxyConfig'])(
    '%s: a selector without labels',
    (kind) => expect(said(kind, { selector: {} })).toEqual(['warn spec.selector selector.empty']),
  );

  it('headers that no token may set', () => {
    const jwtRules = [
      {
        issuer: 'https://a.test',
        outputPayloadToHeader: 'x payload',
        outputClaimToHeaders: [
          { header: 'x-user', claim: 'sub' },
          { header: 'Content-Length', claim: 'n' },
        ],
      },
    ];
    expect(said('RequestAuthentication', { jwtRules })).toEqual([
      'violation spec.jwtRules[0].outputClaimToHeaders[1].header requestauthentication.output-header',
      'violation spec.jwtRules[0].outputPayloadToHeader requestauthentication.output-header',
    ]);
  });

  const deny = (rule: Json) => said('AuthorizationPolicy', { action: 'DENY', rules: [rule] });
  it('a DENY of HTTP attributes alone denies TCP', () => {
    const warned = ['warn spec.rules[0] authorizationpolicy.tcp'];
    expect(deny({ from: [{ source: { requestPrincipals: ['*'] } }] })).toEqual(warned);
    expect(deny({ to: [{ operation: { methods: ['GET'] } }] })).toEqual(warned);
    expect(deny({ from: [{ source: { namespaces: ['a'] } }] })).toEqual([]);
    expect(deny({ to: [{ operation: { methods: ['GET'], ports: ['80'] } }] })).toEqual([]);
  });

  it('principals that no request has', () => {
    const from = [
      { source: { principals: ['spiffe://td/ns/a/sa/b', 'td/ns/a/sa/b'], requestPrincipals: ['a', 'a/b', 'a*'] } },
    ];
    const when = [
      { key: 'source.principal', values: ['spiffe://td/ns/a/sa/b'] },
      { key: 'request.auth.principal', notValues: ['a'] },
    ];
    const paths = [
      'from[0].source.principals[0]',
      'from[0].source.requestPrincipals[0]',
      'when[0].values[0]',
      'when[1].notValues[0]',
    ];
    const wanted = paths.map((path) => `warn spec.rules[0].${path} authorizationpolicy.never`);
    expect(said('AuthorizationPolicy', { rules: [{ from, when }] })).toEqual(wanted);
  });

  it('a key that every object has is no attribute', () => {
    const when = ['constructor', 'toString', '__proto__'].map((key) => ({ key, values: ['a'] }));
    const wanted = [0, 1, 2].map((i) => `violation spec.rules[0].when[${i}].key authorizationpolicy.key`);
    expect(said('AuthorizationPolicy', { rules: [{ when }] })).toEqual(wanted);
    const targetRefs = [{ group: 'constructor', kind: 'Object', name: 'x' }];
    expect(said('Telemetry', { targetRefs })).toEqual(['violation spec.targetRefs[0] policy-target']);
  });

  it.each<[string, Json, string, string[]]>([
    ['AuthorizationPolicy', { rules: [{}] }, 'true', []],
    ['AuthorizationPolicy', { rules: [{}] }, 'yes', ['authorizationpolicy.dry-run']],
    ['AuthorizationPolicy', { action: 'AUDIT', rules: [{}] }, 'true', ['authorizationpolicy.dry-run']],
    ['Sidecar', { egress: [{ hosts: ['*/*'] }] }, 'true', ['authorizationpolicy.dry-run']],
  ])('dry run of %s %j: %s', (kind, spec, value, rules) => {
    const wanted = rules.map((rule) => `violation metadata.annotations["istio.io/dry-run"] ${rule}`);
    expect(said(kind, spec, { annotations: { 'istio.io/dry-run': value } })).toEqual(wanted);
  });

  it.each<[string, string[]]>([
    ['response.code >= 400 || !has(request.auth) && "x" in request.headers', []],
    ["request.url_path.contains('v1beta3') ? [1, 2u, .5] : {'a': pkg.Type{b: -c}} // so", []],
    ['', []],
    ['response.code >=', ['cel']],
    ['a = b', ['cel']],
    ['a.b(', ['cel']],
    ['"open', ['cel']],
    ['package.a', ['cel']],
    ['('.repeat(200), ['cel']],
  ])('a log filter %j', (expression, rules) => {
    const wanted = rules.map((rule) => `violation spec.accessLogging[0].filter.expression ${rule}`);
    expect(said('Telemetry', { accessLogging: [{ filter: { expression } }] })).toEqual(wanted);
  });

  it("Istio's own annotations", () => {
    const annotations = { 'internal.istio.io/parents': 'x' };
    expect(said('VirtualService', http(to()), { annotations })).toEqual([
      'violation metadata.annotations["internal.istio.io/parents"] metadata.internal',
    ]);
  });
});

describe('EnvoyFilter', () => {
  const INTERNALS = 'warn spec.configPatches envoyfilter.internals';
  const patch = (applyTo: string, value: unknown, operation = 'ADD', on: Json = {}) =>
    said('EnvoyFilter', { configPatches: [{ applyTo, ...on, patch: { operation, value } }] });
  const at = 'spec.configPatches[0]';
  const typed = (type: string, fields: Json = {}) => ({ '@type': `type.googleapis.com/${type}`, ...fields });
  const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';
  const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

  it.each<[string, string[], string[]]>([
    ['a part of a message', patch('CLUSTER', { connect_timeout: '3s' }, 'MERGE'), []],
    ['a field of Envoy that is not described here', patch('CLUSTER', { lrs_server: {} }, 'MERGE'), []],
    [
      'a wrong type deep in a list',
      patch('VIRTUAL_HOST', { routes: [{ match: { prefix: 7 } }] }, 'MERGE'),
      [`violation ${at}.patch.value.routes[0].match.prefix envoyfilter.value`],
    ],
    [
      'a wrong enum',
      patch('CLUSTER', { type: 'SOMETIMES' }, 'MERGE'),
      [`violation ${at}.patch.value.type envoyfilter.value`],
    ],
    [
      'a wrong type within an Any',
      patch('NETWORK_FILTER', { name: 'x', typed_config: typed(HCM, { stat_prefix: 7 }) }, 'MERGE'),
      [`violation ${at}.patch.value.typedConfig.statPrefix envoyfilter.value`],
    ],
    [
      'an unknown type',
      patch('HTTP_FILTER', { name: 'x', typed_config: typed('no.such.Type') }),
      [`violation ${at}.patch.value.typed_config["@type"] envoyfilter.type`],
    ],
    [
      'a type of API v2, within a struct',
      patch('HTTP_FILTER', {
        name: 'x',
        typed_config: typed('udpa.type.v1.TypedStruct', {
          type_url: 'type.googleapis.com/envoy.config.filter.http.lua.v2.Lua',
          value: {},
        }),
      }),
      [`violation ${at}.patch.value.typed_config.type_url envoyfilter.type`],
    ],
    [
      'no type at all',
      patch('HTTP_FILTER', { name: 'x', typed_config: {} }),
      [`violation ${at}.patch.value.typed_config envoyfilter.type`],
    ],
    [
      'a filter by its name alone',
      patch('HTTP_FILTER', { name: 'envoy.filters.http.lua', config: {} }),
      [`warn ${at}.patch.value.config deprecated`, `warn ${at}.patch.value deprecated`],
    ],
    ['a filter', patch('HTTP_FILTER', { name: 'x', typed_config: typed(ROUTER) }), []],
    [
      'an old name',
      patch('HTTP_FILTER', { name: 'x', typed_config: typed(ROUTER) }, 'INSERT_BEFORE', {
        match: {
          listener: {
            filterChain: { filter: { name: 'envoy.http_connection_manager', subFilter: { name: 'envoy.router' } } },
          },
        },
      }),
      [
        `warn ${at}.match.listener.filterChain.filter.name deprecated`,
        `warn ${at}.match.listener.filterChain.filter.subFilter.name deprecated`,
      ],
    ],
    ['no value', patch('CLUSTER', undefined), [`violation ${at}.patch.value required`]],
    [
      'a version that is no expression',
      patch('CLUSTER', {}, 'MERGE', { match: { proxy: { proxyVersion: '(' } } }),
      [`violation ${at}.match.proxy.proxyVersion regex`],
    ],
  ])('%s', (_, found, wanted) => {
    const violations = wanted.filter((line) => line.startsWith('violation'));
    const warnings = wanted.filter((line) => line.startsWith('warn'));
    expect(found).toEqual([...violations, INTERNALS, ...warnings]);
  });
});

it.each<[string, Json, string]>([
  [
    'Gateway',
    server({ mode: 'PASSTHROUGH' }, 'HTPS'),
    'unknown protocol "HTPS" (did you mean "HTTPS"?): must be one of',
  ],
  [
    'AuthorizationPolicy',
    { rules: [{ when: [{ key: 'source.ips', values: ['1.2.3.4'] }] }] },
    '(did you mean "source.ip"?)',
  ],
  ['VirtualService', route({ retries: { attempts: 1, retryOn: 'gateway_error' } }), '(did you mean "gateway-error"?)'],
  ['VirtualService', route({ fault: { abort: { grpcStatus: 'NOTFOUND' } } }), '(did you mean "NOT_FOUND"?)'],
  ['VirtualService', route({ corsPolicy: { allowMethods: ['get'] } }), '(did you mean "GET"?)'],
  ['VirtualService', route({ match: [{ port: 99_999 }] }), 'must be a port, 1 to 65535; found 99999'],
])('%s %j: what was found, what is allowed, what was meant', (name, spec, message) => {
  const kind = kinds.find((each) => each.kind === name)!;
  const apiVersion = `${kind.group}/${kind.versions[0]}`;
  const { violations } = validate({ apiVersion, kind: name, metadata: { name: 'x' }, spec });
  expect(violations.map((violation) => violation.message).join()).toContain(message);
});

it('resources as large as the API takes are judged in time', () => {
  const many = <T>(make: (i: number) => T) => Array.from({ length: 10_000 }, (_, i) => make(i));
  const started = process.threadCpuUsage().user;
  const hosts = many((i) => `${i % 2 ? '*.' : 'x.'}h${i}.b`);
  expect(said('VirtualService', { hosts, http: [to()] })).toEqual([]);
  const routes = many((i) => match({ uri: { prefix: `/p/${i}x` }, headers: { a: { exact: `${i}` } } }));
  expect(said('VirtualService', http(...routes))).toEqual([]);
  const localities = Object.fromEntries(many((i) => [`r${i}/z`, 1]));
  const localityLbSetting = { distribute: [{ from: 'a', to: localities }] };
  expect(said('DestinationRule', policy({ loadBalancer: { localityLbSetting } }))).toHaveLength(1);
  expect(said('Sidecar', { egress: [{ hosts: many((i) => `a/h${i}.b`) }] })).toEqual([]);
  // A quadratic one takes minutes; a slow machine may take some seconds.
  expect(process.threadCpuUsage().user - started).toBeLessThan(20_000_000);
});

it('every kind of Istio is judged by checks that never throw on an empty spec', () => {
  for (const kind of kinds.filter((each) => each.group.endsWith('istio.io'))) {
    expect(kindByName(kind.group, kind.kind)).toBe(kind);
    expect(() => said(kind.kind, {})).not.toThrow();
  }
});
