/** Compares a compiled snapshot with what istiod generated, by meaning: names, matches, targets, policies. */
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import { logMeaning } from './golden-access-log.ts';
import { extAuthzMeaning } from './golden-ext-authz.ts';
import { isObject, type Json, list, object, stripEmpty } from './golden-json.ts';
import { jwtMeaning } from './golden-jwt.ts';
import { connectionStatsMeaning, statsMeaning } from './golden-stats.ts';
import { tracingMeaning } from './golden-tracing.ts';

export interface Golden {
  proxy: { nodeId: string; locality: string; metadata: Record<string, never> };
  /** Documents of the input that Istio's admission refuses, counted from 0. */
  rejected: { document: string }[];
  listeners: Json[];
  routes: Json[];
  clusters: Json[];
  endpoints: Json[];
}

/** Istio's own filters, and what only observes. */
const SKIPPED_FILTERS = /^istio\.|mongo_proxy/;

export function differences(golden: Golden, snapshot: Snapshot): string[] {
  const ours = JSON.parse(JSON.stringify(snapshot)) as { [T in keyof Snapshot]: Json[] };
  return [
    ...compareAll('route', golden.routes, ours.routes, routeMeaning),
    ...compareAll('cluster', golden.clusters, ours.clusters, clusterMeaning),
    ...compareAll('endpoints', golden.endpoints, ours.endpoints, endpointsMeaning),
    ...compareAll('listener', golden.listeners, ours.listeners, listenerMeaning),
  ];
}

function compareAll(kind: string, golden: Json[], ours: Json[], meaning: (item: Json) => unknown): string[] {
  const found: string[] = [];
  const name = (item: Json) => String(item['name'] ?? item['clusterName']);
  const mine = new Map(ours.map((item) => [name(item), item]));
  for (const item of golden) {
    const other = mine.get(name(item));
    mine.delete(name(item));
    if (!other) found.push(`${kind} ${name(item)} is missing`);
    else found.push(...diff(`${kind} ${name(item)}`, meaning(item), meaning(other)));
  }
  for (const extra of mine.keys()) found.push(`${kind} ${extra} is not istiod's`);
  return found;
}

function diff(path: string, golden: unknown, ours: unknown): string[] {
  if (JSON.stringify(golden) === JSON.stringify(ours)) return [];
  if (isObject(golden) && isObject(ours))
    return [...new Set([...Object.keys(golden), ...Object.keys(ours)])].flatMap((key) =>
      diff(`${path}.${key}`, golden[key], ours[key]),
    );
  if (Array.isArray(golden) && Array.isArray(ours) && golden.length === ours.length)
    return golden.flatMap((item, index) => diff(`${path}[${index}]`, item, ours[index]));
  return [`${path}: istiod ${short(golden)}, ours ${short(ours)}`];
}

const short = (value: unknown) => (JSON.stringify(value) ?? 'nothing').slice(0, 260);
/** With what decides about their transport socket, of their metadata. */
function endpointsMeaning(assignment: Json): unknown {
  const localities = list(assignment['endpoints']).map(({ lbEndpoints, ...locality }) => ({
    ...(stripEmpty(locality) as Json),
    lbEndpoints: list(lbEndpoints).map((endpoint) => [
      stripEmpty(endpoint),
      object(object(object(endpoint['metadata'])['filterMetadata'])['envoy.transport_socket_match']),
    ]),
  }));
  return { ...(stripEmpty(assignment) as Json), endpoints: localities };
}

function routeMeaning(config: Json): unknown {
  // By name a client asks for: at gateways istiod joins virtual hosts with the same routes, without effect.
  const isGateways = /^https?\./.test(String(config['name']));
  const byDomain: Json = {};
  for (const host of list(config['virtualHosts'])) {
    const { domains, name, ...rest } = host;
    for (const domain of (domains ?? []) as string[])
      byDomain[domain] = stripEmpty({ ...rest, ...(!isGateways && { name }) });
  }
  const { name: _name, virtualHosts: _hosts, validateClusters: _validate, ...rest } = config;
  return {
    ...(stripEmpty(rest) as Json),
    hosts: Object.fromEntries(Object.entries(byDomain).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/**
 * Everything but names of statistics, Istio's own metadata and network filters, and how often names are looked up and
 * idle hosts cleaned up.
 */
function clusterMeaning(cluster: Json): unknown {
  const {
    name: _name,
    altStatName: _stat,
    metadata: _metadata,
    filters: _filters,
    cleanupInterval: _cleanup,
    dnsJitter: _jitter,
    typedDnsResolverConfig: _resolver,
    typedExtensionProtocolOptions: typed,
    transportSocketMatches: matches,
    transportSocket,
    commonLbConfig,
    edsClusterConfig,
    ...rest
  } = cluster;
  const { healthyPanicThreshold, localityWeightedLbConfig, ...lb } = object(commonLbConfig);
  return {
    ...(stripEmpty(rest) as Json),
    lbPolicy: cluster['lbPolicy'] ?? 'ROUND_ROBIN',
    eds: object(edsClusterConfig)['serviceName'],
    panic: stripEmpty(healthyPanicThreshold),
    weighLocalities: localityWeightedLbConfig !== undefined,
    lb: stripEmpty(lb),
    http: httpMeaning(object(Object.values(object(typed))[0])),
    tls: list(matches).map((item) => [item['name'], item['match'], tlsMeaning(item['transportSocket'])]),
    socket: socketMeaning(transportSocket),
  };
}

/** Which transport socket, and of TLS what it asks and shows. */
function socketMeaning(socket: unknown): unknown {
  return tlsMeaning(socket) ?? object(socket)['name'];
}

/** Which protocol is spoken upstream; plain HTTP/1.1 is what every cluster speaks unless configured otherwise. */
function httpMeaning(options: Json): unknown {
  const downstream = object(options['useDownstreamProtocolConfig']);
  const explicit = object(options['explicitHttpConfig']);
  const isDownstream = 'useDownstreamProtocolConfig' in options;
  const http2 = 'http2ProtocolOptions' in explicit;
  return [
    isDownstream ? 'downstream' : http2 ? 'http2' : 'http1',
    stripEmpty(downstream['http2ProtocolOptions'] ?? explicit['http2ProtocolOptions'] ?? {}),
    stripEmpty(options['commonHttpProtocolOptions'] ?? {}),
  ];
}

/** Secrets, SNI, ALPN and accepted names of a TLS context; without names the trust domain is enough. */
export function tlsMeaning(socket: unknown): unknown {
  const config = object(object(socket)['typedConfig']);
  if (!String(config['@type'] ?? '').endsWith('TlsContext')) return undefined;
  const common = object(config['commonTlsContext']);
  const combined = object(common['combinedValidationContext']);
  const rules = object(combined['defaultValidationContext'] ?? common['validationContext']);
  const names = [
    ...list(rules['matchSubjectAltNames']),
    ...list(rules['matchTypedSubjectAltNames']).map((item) => object(item['matcher'])),
  ].map((item) => JSON.stringify(item));
  const alpn = (common['alpnProtocols'] ?? []) as string[];
  const isServer = String(config['@type']).endsWith('DownstreamTlsContext');
  return {
    params: tlsParams(object(common['tlsParams']), isServer),
    crl: rules['crl'],
    sni: config['sni'],
    // Clients: istiod's filter for ALPN adds the names of HTTP/1.1, which are in the contexts here.
    alpn: alpn.filter((name) => (isServer ? !name.startsWith('istio') : name === 'h2')),
    client: config['requireClientCertificate'] === true,
    certificates: [
      ...list(common['tlsCertificateSdsSecretConfigs']).map((item) => item['name']),
      // Files are read by the proxy itself here, by the agent there.
      ...list(common['tlsCertificates']).map(
        (item) => `file-cert:${object(item['certificateChain'])['filename']}~${object(item['privateKey'])['filename']}`,
      ),
    ],
    // Public roots are a file here, a secret of the agent's there.
    ca: String(object(combined['validationContextSdsSecretConfig'])['name'] ?? '').replace(/^file-root:.*/, ''),
    names: names.filter((item) => !item.includes('"prefix"')),
  };
}

/** Istio names these suites of its servers' TLS 1.2; here it is what the runtime offers (docs/differences-from-istio.md). */
const MESH_SUITES =
  'ECDHE-ECDSA-AES256-GCM-SHA384,ECDHE-RSA-AES256-GCM-SHA384,ECDHE-ECDSA-AES128-GCM-SHA256,ECDHE-RSA-AES128-GCM-SHA256,AES256-GCM-SHA384,AES128-GCM-SHA256';

/** Envoy's servers speak TLS 1.2 and 1.3 unless configured otherwise, its clients up to 1.2. */
const SERVER_VERSIONS = { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' };

function tlsParams({ cipherSuites, ...rest }: Json, isServer: boolean): unknown {
  const isDefault = Array.isArray(cipherSuites) && cipherSuites.join() === MESH_SUITES;
  return stripEmpty({ ...(isServer && SERVER_VERSIONS), ...rest, ...(!isDefault && { cipherSuites }) });
}

function listenerMeaning(listener: Json): unknown {
  const port = object(object(listener['address'])['socketAddress'])['portValue'];
  const chain = (item: Json) => ({
    match: stripEmpty(chainMatch(object(item['filterChainMatch']), listener, port)),
    tls: tlsMeaning(item['transportSocket']),
    connectTimeout: item['transportSocketConnectTimeout'],
    filters: list(item['filters'])
      .filter((filter) => !SKIPPED_FILTERS.test(String(filter['name'])))
      .map(filterMeaning),
  });
  return {
    address: listener['address'],
    bindToPort: listener['bindToPort'] ?? true,
    rest: listenerSettings(listener),
    chains: list(listener['filterChains']).map(chain),
    fallback: listener['defaultFilterChain'] && chain(object(listener['defaultFilterChain'])),
    log: logMeaning(listener['accessLog']),
    stats: connectionStatsMeaning(listener),
    inspectors: list(listener['listenerFilters']).map((item) => inspectorMeaning(item, isBound(listener))),
  };
}

/** Everything but names, chains, filters and logs, and how many connections one event accepts. */
function listenerSettings({
  name: _name,
  address: _address,
  bindToPort: _bind,
  filterChains: _chains,
  defaultFilterChain: _fallback,
  listenerFilters,
  listenerFiltersTimeout,
  accessLog: _log,
  maxConnectionsToAcceptPerSocketEvent: _accept,
  ...rest
}: Json): unknown {
  // Without filters there is nothing to wait for.
  return stripEmpty({ ...rest, ...(list(listenerFilters).length > 0 && { listenerFiltersTimeout }) });
}

/** With the ports that it does not look at; a bound listener has one, and has no filter that is off there. */
function inspectorMeaning(filter: Json, isBound: boolean): unknown {
  return [filter['name'], isBound ? undefined : stripEmpty(filter['filterDisabled'] ?? {})];
}

/** A bound listener has one port: a match on it has no effect. */
function chainMatch(match: Json, listener: Json, port: unknown): Json {
  const { destinationPort, ...rest } = match;
  return isBound(listener) && destinationPort === port ? rest : match;
}

const isBound = (listener: Json): boolean => !String(listener['name']).startsWith('virtual');

/** `or` and `and` of one element are that element. */
function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped);
  if (!isObject(value)) return value;
  for (const name of ['orRules', 'andRules', 'orIds', 'andIds']) {
    const [only, ...others] = list(Object.values(object(value[name]))[0]);
    if (only && others.length === 0) return unwrapped(only);
  }
  return Object.fromEntries(
    // RBAC metadata matchers decide; the name only decorates elsewhere.
    Object.entries(value).map(([key, item]) => [key === 'metadata' ? 'metadataMatcher' : key, unwrapped(item)]),
  );
}

/** The action ALLOW is protobuf's default and left out of canonical JSON. */
function rules(value: unknown): unknown {
  const { action, ...rest } = object(stripEmpty(unwrapped(value)));
  return action === undefined || action === 'ALLOW' ? rest : { action, ...rest };
}

function filterMeaning(filter: Json): unknown {
  const config = object(filter['typedConfig']);
  const type = String(config['@type']).split('.').at(-1);
  if (type === 'TcpProxy') return tcpProxyMeaning(config);
  if (type === 'ExtAuthz') return extAuthzMeaning(config);
  if (type === 'RBAC') return { rules: rules(config['rules']), shadow: rules(config['shadowRules']) };
  if (type !== 'HttpConnectionManager') return { name: filter['name'], config: stripEmpty(config) };
  return {
    rds: object(config['rds'])['routeConfigName'],
    routes: config['routeConfig'] && routeMeaning(object(config['routeConfig'])),
    filters: list(config['httpFilters'])
      .filter((item) => !SKIPPED_FILTERS.test(String(item['name'])))
      .map(httpFilterMeaning),
    log: logMeaning(config['accessLog']),
    tracing: tracingMeaning(config),
    stats: statsMeaning(config),
    rest: managerSettings(config),
  };
}

/** Everything but the name of its statistics. */
function tcpProxyMeaning({ statPrefix: _stat, accessLog, ...rest }: Json): unknown {
  return { hash: rest['hashPolicy'] ?? [], log: logMeaning(accessLog), ...(stripEmpty(rest) as Json) };
}

function httpFilterMeaning(item: Json): unknown {
  const config = object(item['typedConfig']);
  const { rules: _rules, shadowRules: _shadow, shadowRulesStatPrefix: _prefix, ...rest } = config;
  const isExternal = String(item['name']).endsWith('.ext_authz');
  const own = isExternal ? extAuthzMeaning(config) : jwtMeaning(item);
  return [item['name'], rules(config['rules']), rules(config['shadowRules']), own ?? stripEmpty(rest)];
}

/**
 * Everything but routes, filters, names, and what is compared apart. CONNECT over HTTP/2 is allowed here, and a proxy answers
 * `Expect: 100-continue` itself (docs/differences-from-istio.md).
 */
function managerSettings({
  statPrefix: _stat,
  rds: _rds,
  routeConfig: _routes,
  httpFilters: _filters,
  accessLog: _log,
  tracing: _tracing,
  requestIdExtension: _requestId,
  serverName: _server,
  proxy100Continue: _continue,
  http2ProtocolOptions,
  ...rest
}: Json): unknown {
  const { allowConnect: _connect, ...http2 } = object(http2ProtocolOptions);
  return stripEmpty({ useRemoteAddress: false, ...rest, http2 });
}
