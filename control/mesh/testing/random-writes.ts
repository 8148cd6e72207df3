/** Random sequences of writes over a small universe of names, so that writes meet: same hosts, same workloads, same rules. */
import fc from 'fast-check';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { MeshUpdate } from '../view.ts';

/** `resource` undefined: a deletion; of a Namespace, of everything in it, too. */
export interface Write {
  readonly id: string;
  readonly resource: Resource | undefined;
}

const NAMESPACES = ['shop', 'pay', 'istio-system'];
const APPS = ['a', 'b', 'c'];
const HOSTS = [...APPS.map((app) => `${app}.shop.svc.cluster.local`), 'b.pay.svc.cluster.local', 'ext.example.com'];
const NAMES = ['one', 'two', 'three'];

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const some = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const app = some(...APPS);
const host = some(...HOSTS);
const writtenHost = some(...HOSTS, 'a', '*.example.com', '*.shop.svc.cluster.local');
const exportTo = maybe(some(['.'], ['*'], ['pay'], ['~']));
const matchLabels = maybe(fc.record({ app }));
const address = fc.integer({ min: 1, max: 6 }).map((n) => `10.0.0.${n}`);
const destination = fc.record({ host: some(...HOSTS, 'a'), subset: maybe(some('v1', 'v2')) }).map(compact);
const ports = some(
  [{ number: 80, name: 'http', protocol: 'HTTP' }],
  [
    { number: 80, name: 'http', protocol: 'HTTP' },
    { number: 9000, name: 'tcp', protocol: 'TCP' },
  ],
  [{ number: 443, name: 'tls', protocol: 'TLS' }],
  [{ number: 81, name: 'grpc', protocol: 'GRPC' }],
);

const serviceEntry = fc
  .record({
    hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 2 }),
    ports,
    location: some('MESH_INTERNAL', 'MESH_EXTERNAL'),
    resolution: some('STATIC', 'DNS', 'NONE', 'DYNAMIC_DNS'),
    addresses: maybe(some(['240.0.0.1'], ['240.0.0.2', '240.0.0.0/24'])),
    exportTo,
    chosen: fc.boolean(),
    selector: fc.record({ app }),
    endpoints: fc.array(fc.record({ address, labels: fc.record({ app }) }), { maxLength: 2 }),
  })
  .map(({ chosen, selector, endpoints, ...spec }) => ({
    spec: { ...spec, ...(chosen ? { workloadSelector: { labels: selector } } : { endpoints }) },
  }));

const workloadEntry = fc
  .record({
    address,
    weight: fc.integer({ min: 1, max: 3 }),
    labels: maybe(fc.record({ app, version: some('v1', 'v2') })),
    locality: some('', 'r1/z1', 'r1/z2', 'r2/z1'),
    serviceAccount: some('', 'a', 'b'),
    own: maybe(fc.record({ app })),
  })
  .map(({ own, ...spec }) => ({ labels: own, spec: compact(spec) }));

const selectingService = fc
  .record({ app, port: some(80, 9000), name: some('http', 'tcp'), ip: some('10.96.0.1', 'None') })
  .map(({ app: selected, port, name, ip }) => ({
    spec: { selector: { app: selected }, clusterIP: ip, ports: [{ port, name }] },
  }));

const alias = some(...HOSTS).map((externalName) => ({ spec: { type: 'ExternalName', externalName } }));

const service = fc.oneof({ weight: 3, arbitrary: selectingService }, { weight: 1, arbitrary: alias });

const endpointSlice = fc
  .record({ of: app, addresses: fc.uniqueArray(address, { minLength: 1, maxLength: 2 }), ready: fc.boolean() })
  .map(({ of, addresses, ready }) => ({
    labels: { 'kubernetes.io/service-name': of },
    endpoints: [{ addresses, conditions: { ready }, zone: 'r1-a' }],
    ports: [
      { name: 'http', port: 8080 },
      { name: 'tcp', port: 9000 },
    ],
  }));

const httpRule = fc
  .record({
    match: maybe(
      fc.array(
        fc
          .record({
            uri: maybe(some({ prefix: '/x' }, { exact: '/y' })),
            sourceLabels: matchLabels,
            sourceNamespace: maybe(some(...NAMESPACES)),
            gateways: maybe(some(['mesh'], ['edge'])),
            port: maybe(some(80, 81)),
          })
          .map(compact),
        { minLength: 1, maxLength: 2 },
      ),
    ),
    route: fc.array(fc.record({ destination, weight: some(50, 50, 0) }), { minLength: 1, maxLength: 2 }),
    delegate: maybe(fc.record({ name: some(...NAMES), namespace: some(...NAMESPACES) })),
    timeout: maybe(some('1s', '2s')),
  })
  .map(({ route, delegate, ...rule }) => compact({ ...rule, ...(delegate ? { delegate } : { route }) }));

const virtualService = fc
  .record({
    hosts: maybe(fc.uniqueArray(writtenHost, { minLength: 1, maxLength: 2 })),
    gateways: maybe(some(['mesh'], ['edge'], ['mesh', 'istio-system/edge'])),
    exportTo,
    http: maybe(fc.array(httpRule, { minLength: 1, maxLength: 2 })),
    tcp: maybe(fc.constant([{ route: [{ destination: { host: HOSTS[1] } }] }])),
    tls: maybe(
      fc.constant([{ match: [{ sniHosts: ['x.example.com'], port: 443 }], route: [{ destination: { host: 'a' } }] }]),
    ),
  })
  .map((spec) => ({ spec: compact(spec) }));

const destinationRule = fc
  .record({
    host: writtenHost,
    exportTo,
    workloadSelector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
    subsets: maybe(
      fc.constant([
        { name: 'v1', labels: { version: 'v1' } },
        { name: 'v2', labels: { version: 'v2' } },
      ]),
    ),
    trafficPolicy: maybe(
      fc
        .record({
          outlierDetection: maybe(fc.constant({ consecutive5xxErrors: 3 })),
          tls: maybe(some({ mode: 'DISABLE' }, { mode: 'ISTIO_MUTUAL' }, { mode: 'SIMPLE', credentialName: 'cred' })),
          loadBalancer: maybe(
            some(
              { simple: 'ROUND_ROBIN' },
              { consistentHash: { useSourceIp: true } },
              { consistentHash: { httpHeaderName: 'x-user' } },
              { localityLbSetting: { failoverPriority: ['app'] } },
              { localityLbSetting: { distribute: [{ from: 'r1/*', to: { 'r1/z1': 80, 'r1/z2': 20 } }] } },
            ),
          ),
        })
        .map(compact),
    ),
  })
  .map((spec) => ({ spec: compact(spec) }));

const egressHosts = fc.uniqueArray(some('./*', '*/*', 'shop/*', '*/ext.example.com', '~shop/*', '~/ext.example.com'), {
  minLength: 1,
});
const egressListener = fc.record({
  port: maybe(
    some(
      { number: 80, protocol: 'HTTP' },
      { number: 8080, protocol: 'TCP' },
      { number: 3128, protocol: 'HTTP_PROXY' },
      { number: 81 },
    ),
  ),
  bind: maybe(some('127.0.0.1', '127.0.0.7', '0.0.0.0')),
  captureMode: maybe(some('DEFAULT', 'NONE')),
  hosts: egressHosts,
});
const socketListener = fc.record({
  bind: some('unix:///run/a.sock', 'unix:///run/b.sock'),
  port: some({ number: 0, protocol: 'HTTP' }, { number: 0, protocol: 'TCP' }),
  hosts: egressHosts,
});
const limits = maybe(some({ tcp: { maxConnections: 3 } }, { http: { http2MaxRequests: 5 } }));

const sidecar = fc
  .record({
    egress: fc.array(fc.oneof(egressListener.map(compact), socketListener), { minLength: 1, maxLength: 3 }),
    workloadSelector: maybe(fc.record({ labels: fc.record({ app }) })),
    outboundTrafficPolicy: maybe(
      some(
        { mode: 'REGISTRY_ONLY' },
        { mode: 'ALLOW_ANY' },
        { mode: 'ALLOW_ANY', egressProxy: { host: 'ext.example.com', port: { number: 80 } } },
      ),
    ),
    inboundConnectionPool: limits,
    ingress: maybe(
      fc
        .record({
          captureMode: maybe(some('NONE', 'IPTABLES')),
          connectionPool: limits,
          tls: maybe(some({ mode: 'SIMPLE', serverCertificate: '/c', privateKey: '/k' })),
        })
        .map((item) => [
          compact({
            ...item,
            port: { number: 8080, name: 'http', protocol: item.tls ? 'HTTPS' : 'HTTP' },
            defaultEndpoint: '127.0.0.1:8080',
          }),
        ]),
    ),
  })
  .map((spec) => ({ spec: compact(spec) }));

const mode = some('STRICT', 'PERMISSIVE', 'DISABLE', 'UNSET');
const peerAuthentication = fc
  .record({
    selector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
    mtls: maybe(fc.record({ mode })),
    portLevelMtls: maybe(fc.record({ '8080': fc.record({ mode }) })),
  })
  .map((spec) => ({ spec: compact(spec) }));

const authorizationPolicy = fc
  .record({
    selector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
    targetRefs: maybe(
      some([{ kind: 'Service', name: 'a' }], [{ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'one' }]),
    ),
    action: maybe(some('ALLOW', 'DENY', 'AUDIT', 'CUSTOM')),
    provider: fc.record({ name: some('asks', 'other') }),
    rules: maybe(fc.array(fc.record({ from: fc.constant([{ source: { namespaces: ['shop'] } }]) }), { maxLength: 1 })),
  })
  .map(({ provider, ...spec }) => ({
    spec: compact({
      ...spec,
      ...(spec.action === 'CUSTOM' && { provider }),
      ...(spec.selector && { targetRefs: undefined }),
    }),
  }));

const requestAuthentication = fc
  .record({
    selector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
    targetRefs: maybe(some([{ kind: 'Service', name: 'a' }])),
    jwtRules: fc.array(
      fc
        .record({
          issuer: some('https://one.example', 'https://two.example'),
          jwksUri: maybe(some('https://keys.example/one')),
          forwardOriginalToken: maybe(fc.boolean()),
        })
        .map(compact),
      { maxLength: 2 },
    ),
  })
  .map((spec) => ({ spec: compact(spec.selector ? { ...spec, targetRefs: undefined } : spec) }));

const server = some(
  { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] },
  { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['shop/*.shop.svc.cluster.local', 'ext.example.com'] },
  {
    port: { number: 443, name: 'https', protocol: 'HTTPS' },
    hosts: ['*'],
    tls: { mode: 'SIMPLE', credentialName: 'cred' },
  },
  { port: { number: 443, name: 'tls', protocol: 'TLS' }, hosts: ['*'], tls: { mode: 'PASSTHROUGH' } },
  { port: { number: 15443, name: 'tls', protocol: 'TLS' }, hosts: ['*.local'], tls: { mode: 'AUTO_PASSTHROUGH' } },
  { port: { number: 9000, name: 'tcp', protocol: 'TCP' }, hosts: ['*'] },
);
const gateway = fc
  .record({
    selector: some({ istio: 'edge' }, { istio: 'edge', app: 'a' }),
    servers: fc.array(server, { maxLength: 3 }),
  })
  .map((spec) => ({ spec }));

const secret = some('A', 'B').map((text) => ({
  type: 'kubernetes.io/tls',
  stringData: { 'tls.crt': text, 'tls.key': text },
}));
const proxyConfig = fc.record({ concurrency: fc.integer({ min: 0, max: 4 }) }).map((spec) => ({ spec }));

const trafficSelector = maybe(
  some([{ mode: 'SERVER' }], [{ mode: 'CLIENT', ports: [{ number: 80 }] }], [{ ports: [{ number: 8080 }] }]),
);
const placement = {
  phase: maybe(some('AUTHN', 'AUTHZ', 'STATS')),
  priority: maybe(fc.integer({ min: -1, max: 1 })),
  match: trafficSelector,
  selector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
};
const module = {
  url: some('oci://example.com/a:1', 'file:///opt/a.wasm'),
  type: maybe(some('HTTP', 'NETWORK')),
  failStrategy: maybe(some('FAIL_OPEN', 'FAIL_CLOSE')),
};
const wasmPlugin = fc.record({ ...placement, ...module }).map((spec) => ({ spec: compact(spec) }));
const trafficExtension = fc
  .record({ ...placement, wasm: fc.record(module).map(compact) })
  .map((spec) => ({ spec: compact(spec) }));

const telemetry = fc
  .record({
    selector: maybe(fc.record({ matchLabels: fc.record({ app }) })),
    accessLogging: maybe(
      some(
        [{ providers: [{ name: 'envoy' }] }],
        [{ disabled: true }],
        [{ providers: [{ name: 'envoy' }], match: { mode: 'CLIENT' }, filter: { expression: 'response.code > 399' } }],
      ),
    ),
    metrics: maybe(some([{ overrides: [{ disabled: true }] }], [{ reportingInterval: '10s' }])),
    tracing: maybe(
      some([{ randomSamplingPercentage: 5, providers: [{ name: 'otel' }] }], [{ disableSpanReporting: true }]),
    ),
  })
  .map((spec) => ({ spec: compact(spec) }));

/** What a patch source of a test does with it is up to that source. */
const envoyFilter = fc
  .record({
    workloadSelector: maybe(fc.record({ labels: fc.record({ app }) })),
    operation: some('TIMEOUT', 'REMOVE', 'RENAME', 'BREAK'),
    side: some('inbound', 'outbound', 'gateway'),
    most: fc.integer({ min: 0, max: 2 }),
  })
  .map((spec) => ({ spec: compact(spec) }));

const meshConfig = some(
  'trustDomain: cluster.local',
  'trustDomain: other.example',
  'outboundTrafficPolicy: {mode: REGISTRY_ONLY}',
  'accessLogFile: /dev/stdout',
  'enableAutoMtls: false',
  'localityLbSetting: {failoverPriority: [app]}',
  'rootNamespace: shop',
  'connectTimeout: 3s',
  'enableTracing: false',
  'extensionProviders: [{ name: otel, opentelemetry: { service: a.shop.svc.cluster.local, port: 80 } }]',
  'discoverySelectors: [{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [pay]}]}]',
  'extensionProviders: [{name: asks, envoyExtAuthzHttp: {service: a.shop.svc.cluster.local, port: 80}}]',
).map((mesh) => ({ data: { mesh } }));

const KINDS: readonly {
  kind: string;
  apiVersion: string;
  body: fc.Arbitrary<object>;
  names: readonly string[];
  weight: number;
}[] = [
  { kind: 'ServiceEntry', apiVersion: 'networking.istio.io/v1', body: serviceEntry, names: NAMES, weight: 4 },
  { kind: 'WorkloadEntry', apiVersion: 'networking.istio.io/v1', body: workloadEntry, names: NAMES, weight: 5 },
  { kind: 'Service', apiVersion: 'v1', body: service, names: APPS, weight: 3 },
  { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1', body: endpointSlice, names: NAMES, weight: 3 },
  { kind: 'VirtualService', apiVersion: 'networking.istio.io/v1', body: virtualService, names: NAMES, weight: 6 },
  { kind: 'DestinationRule', apiVersion: 'networking.istio.io/v1', body: destinationRule, names: NAMES, weight: 4 },
  { kind: 'Sidecar', apiVersion: 'networking.istio.io/v1', body: sidecar, names: NAMES, weight: 2 },
  { kind: 'PeerAuthentication', apiVersion: 'security.istio.io/v1', body: peerAuthentication, names: NAMES, weight: 2 },
  {
    kind: 'AuthorizationPolicy',
    apiVersion: 'security.istio.io/v1',
    body: authorizationPolicy,
    names: NAMES,
    weight: 2,
  },
  {
    kind: 'RequestAuthentication',
    apiVersion: 'security.istio.io/v1',
    body: requestAuthentication,
    names: NAMES,
    weight: 2,
  },
  { kind: 'Gateway', apiVersion: 'networking.istio.io/v1', body: gateway, names: ['edge', 'two'], weight: 3 },
  { kind: 'Secret', apiVersion: 'v1', body: secret, names: ['cred'], weight: 1 },
  { kind: 'Namespace', apiVersion: 'v1', body: fc.constant({}), names: NAMESPACES, weight: 1 },
  { kind: 'ProxyConfig', apiVersion: 'networking.istio.io/v1beta1', body: proxyConfig, names: NAMES, weight: 1 },
  { kind: 'WasmPlugin', apiVersion: 'extensions.istio.io/v1alpha1', body: wasmPlugin, names: NAMES, weight: 1 },
  {
    kind: 'TrafficExtension',
    apiVersion: 'extensions.istio.io/v1alpha1',
    body: trafficExtension,
    names: NAMES,
    weight: 1,
  },
  { kind: 'Telemetry', apiVersion: 'telemetry.istio.io/v1', body: telemetry, names: NAMES, weight: 2 },
  { kind: 'EnvoyFilter', apiVersion: 'networking.istio.io/v1alpha3', body: envoyFilter, names: NAMES, weight: 2 },
];

function ofKind({ kind, apiVersion, body, names }: (typeof KINDS)[number]): fc.Arbitrary<Write> {
  const namespaces = kind === 'Namespace' ? [''] : NAMESPACES;
  return fc
    .record({
      name: some(...names),
      namespace: some(...namespaces),
      deleted: fc.nat({ max: 4 }).map((n) => n === 0),
      second: fc.nat({ max: 2 }),
      body,
    })
    .map(({ name, namespace, deleted, second, body }) => {
      const { labels, ...rest } = body as { labels?: Record<string, string> };
      return writeOf(kind, apiVersion, namespace, name, deleted, second, labels, rest);
    });
}

function writeOf(
  kind: string,
  apiVersion: string,
  namespace: string,
  name: string,
  deleted: boolean,
  second: number,
  labels: Record<string, string> | undefined,
  rest: object,
): Write {
  const creationTimestamp = `2026-01-01T00:00:0${second}Z`;
  const metadata = { name, ...(namespace && { namespace }), creationTimestamp, ...(labels && { labels }) };
  return {
    id: `${kind} ${namespace}/${name}`,
    resource: deleted ? undefined : { apiVersion, kind, metadata, ...rest },
  };
}

const meshConfigWrite: fc.Arbitrary<Write> = fc
  .record({ body: meshConfig, deleted: fc.boolean() })
  .map(({ body, deleted }) => writeOf('ConfigMap', 'v1', 'istio-system', 'istio', deleted, 0, undefined, body));

/** Writes of every kind that a proxy's config is made of. */
export const writes: fc.Arbitrary<Write[]> = fc.array(
  fc.oneof(...KINDS.map((each) => ({ arbitrary: ofKind(each), weight: each.weight })), {
    arbitrary: meshConfigWrite,
    weight: 1,
  }),
  { minLength: 1, maxLength: 40, size: 'max' },
);

/** Whether `id` names a resource of `namespace`. */
const isIn = (id: string, namespace: string): boolean => id.slice(id.indexOf(' ') + 1).startsWith(`${namespace}/`);

/** The resources after each write, and the step from those before it. */
export function applied(resources: Map<string, Resource>, batch: readonly Write[]): MeshUpdate {
  const removed = new Set<Resource>();
  const put = (id: string, resource: Resource | undefined) => {
    const before = resources.get(id);
    if (before) removed.add(before);
    if (resource) resources.set(id, resource);
    else resources.delete(id);
  };
  for (const { id, resource } of batch) {
    put(id, resource);
    if (!resource && id.startsWith('Namespace '))
      for (const other of [...resources.keys()]) if (isIn(other, id.slice('Namespace /'.length))) put(other, undefined);
  }
  const added = batch.flatMap(({ id, resource }) => (resource && resources.get(id) === resource ? [resource] : []));
  return { removed: [...removed].filter((item) => !added.includes(item)), added };
}

function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}
