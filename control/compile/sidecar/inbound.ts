/** What reaches the workload: the ports it serves, the TLS they ask for, and the clusters of the application itself. */

import { isHttp, type Protocol } from '../../../shared/match/protocol.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { ConnectionPool, ServerTls } from '../../../shared/resources/schema/common.ts';
import type { Ingress } from '../../../shared/resources/schema/sidecar.ts';
import type { Cluster } from '../../../shared/xds/cluster.ts';
import type { FilterChain, FilterChainMatch, Listener, NetworkFilter } from '../../../shared/xds/listener.ts';
import { withMeshKeepalive } from '../cluster/clusters.ts';
import { connectTimeout } from '../cluster/connect-timeout.ts';
import type { DestinationRule } from '../cluster/destination-rule.ts';
import { statNameOf } from '../cluster/stat-name.ts';
import { applyTrafficPolicy } from '../cluster/traffic-policy.ts';
import { generator, labelsFrom } from '../memo.ts';
import { BLACK_HOLE, bracketed, INBOUND_PASSTHROUGH, inboundCluster } from '../names.ts';
import { distinctFindings, type Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { inboundPlugins, type PluginFilters } from '../plugins/plugin-filters.ts';
import { inboundRetries } from '../routes/http-policies.ts';
import { ingressOf, type Sidecar } from '../scope/sidecars.ts';
import { type Instance, type LocalWorkload, workloadsAt } from '../scope/workloads.ts';
import { type Authorization, authorizations } from '../security/authorization.ts';
import type { Authorizers } from '../security/authorizers.ts';
import { type MtlsMode, type MtlsModes, strictestMtlsMode } from '../security/peer-authentication.ts';
import { authentications, type TokenPolicy, withTokens } from '../security/request-authentication.ts';
import { serverTlsContext, WEB_ALPN } from '../security/server-tls.ts';
import { meshServerSocket } from '../security/tls-context.ts';
import { observed } from '../telemetry/observed.ts';
import type { PlacedFilters } from './filter-places.ts';
import {
  detectionTimeout,
  httpManager,
  NOT_LOGGED,
  ORIGINAL_DST,
  type ProxySettings,
  plainTcpProxy,
} from './http-manager.ts';
import { type InboundPort, type InboundPorts, inboundPorts } from './inbound-ports.ts';
import { inspectorsOf } from './inspectors.ts';
import { withListenerSettings } from './manager-settings.ts';

const MESH_HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const MESH_TCP_ALPN = ['istio-peer-exchange', 'istio'];
/**
 * What TCP chains agree to, so that peers which insist on an ALPN find one. `istio-peer-exchange` is not agreed to: an Istio
 * sidecar would then begin the stream with its metadata, which nothing here takes off.
 */
export const AGREED_TCP_ALPN = ['istio'];
const MESH_ALPN = ['istio', 'istio-peer-exchange', ...MESH_HTTP_ALPN];
const PLAIN_HTTP_ALPN = ['http/1.1', 'h2c'];

export interface InboundInput {
  readonly instances: readonly Instance[];
  /** What runs at the proxy's addresses. */
  readonly workloads: readonly LocalWorkload[];
  /** The Sidecar of each workload. */
  readonly sidecars: readonly (Sidecar | undefined)[];
  /** The DestinationRule of the service of each instance: its limits hold for inbound connections, too. */
  readonly rules: readonly (DestinationRule | undefined)[];
  /** AuthorizationPolicies of the namespace and of the root namespace. */
  readonly policies: readonly ResourceOfKind<'AuthorizationPolicy'>[];
  /** What CUSTOM policies may name. */
  readonly authorizers: Authorizers;
  /** WasmPlugins and TrafficExtensions of the namespace and of the root namespace. */
  readonly plugins: readonly Plugin[];
  /** Which tokens the workloads accept. */
  readonly tokenPolicies: readonly TokenPolicy[];
  readonly mtls: MtlsModes;
  readonly settings: ProxySettings;
  readonly namespace: string;
  /** The main address of the workload. */
  readonly ip: string;
  /** Port name or number -> the application's port, as `labelsKey` writes it. */
  readonly appPorts: string;
  readonly captured: boolean;
}

export interface InboundResources {
  readonly listeners: readonly Produced<'listeners'>[];
  readonly clusters: readonly Produced<'clusters'>[];
  readonly ports: readonly InboundPort[];
  readonly notes: readonly string[];
  /** What is not in force as written. */
  readonly errors: readonly Finding[];
}

/** What reaches one workload; replicas that differ in their address alone differ here. */
export const inbound = generator<InboundInput, InboundResources>(
  {
    instances: true,
    workloads: true,
    policies: true,
    authorizers: true,
    plugins: true,
    tokenPolicies: true,
    mtls: true,
    rules: true,
    sidecars: true,
    settings: true,
    namespace: true,
    ip: true,
    appPorts: true,
    captured: true,
  },
  (given) => {
    const notes = new Set<string>();
    const note = (message: string) => void notes.add(message);
    const errors: Finding[] = [];
    const { instances, workloads, sidecars, policies, authorizers, tokenPolicies, mtls, settings, namespace } = given;
    const declared = workloads.flatMap((workload, i): [LocalWorkload, readonly Ingress[]][] => {
      const ingress = ingressOf(sidecars[i]);
      return ingress.length > 0 ? [[workload, ingress]] : [];
    });
    const onError = (finding: Finding) => void errors.push(finding);
    const entries = new Map(sidecars.flatMap(ingressEntries));
    const input: Inbound = {
      settings,
      namespace,
      instances,
      ingress: new Map(declared),
      pools: new Map(workloads.map((workload, i) => [workload, sidecars[i]?.spec?.inboundConnectionPool])),
      rules: given.rules,
      mode: (port) => strictestMtlsMode(mtls, workloadsAt(workloads, port), port),
      portsWithMode: [...new Set(workloads.flatMap((workload) => mtls.portsOf(workload)))].sort((a, b) => a - b),
      authorization: withTokens(
        authorizations({
          policies,
          authorizers,
          settings,
          workloads,
          onError,
        }),
        authentications(tokenPolicies, workloads, { rootNamespace: settings.rootNamespace, clearsRoutes: false }),
      ),
      plugins: inboundPlugins(given.plugins, workloads, settings.rootNamespace, note),
      ip: given.ip,
      appPorts: labelsFrom(given.appPorts),
      captured: given.captured,
      note,
      unmet: (item, reason) => {
        const found = entries.get(item);
        if (found) onError({ ...found, message: `${found.message}: port ${item.port.number}: ${reason}` });
      },
      onError,
    };
    const ports = inboundPorts(input);
    const bound = boundInboundListeners(
      input,
      ports.filter((item) => item.bound),
    );
    const captured = ports.filter((item) => !item.bound);
    const built = given.captured ? [virtualInbound(input, captured), ...bound] : bound;
    const listeners = built.map((listener) => withListenerSettings(listener, settings.http.connections, 'inbound'));
    const portOf = (listener: Listener) => listener.address?.socketAddress?.portValue;
    return {
      listeners: listeners.map((item) =>
        produced('listeners', observed(item, settings.telemetry.server, true), {
          side: 'inbound',
          port: portOf(item),
        }),
      ),
      clusters: inboundClusters(input, ports),
      ports,
      notes: [...notes],
      errors: distinctFindings(errors),
    };
  },
);

/** Each `ingress` entry of a Sidecar with the beginning of a finding about it. */
function ingressEntries(sidecar: Sidecar | undefined): [Ingress, Finding][] {
  if (!sidecar) return [];
  return ingressOf(sidecar).map((item, i) => [
    item,
    { about: sidecar, reason: 'RuleWithoutEffect', message: `spec.ingress[${i}]` },
  ]);
}

interface Inbound extends InboundPorts {
  /** Ports that a PeerAuthentication names, ascending. */
  readonly portsWithMode: readonly number[];
  /** What guards the port of that number; 0: every port that no workload serves. */
  authorization(port: number): Authorization;
  onError(finding: Finding): void;
  plugins(port: number): PluginFilters;
}

function inboundClusters(input: Inbound, ports: readonly InboundPort[]): Produced<'clusters'>[] {
  return ports.map((item) =>
    produced('clusters', withMeshKeepalive(input.settings, inboundClusterOf(input, item)), {
      side: 'inbound',
      port: item.servicePort,
      hosts: item.services.map(({ host }) => host),
    }),
  );
}

function inboundClusterOf({ settings, ip, captured, note }: Inbound, item: InboundPort): Cluster {
  const name = inboundCluster(item.port);
  const pattern = settings.config.inboundClusterStatName;
  const statName =
    pattern && item.service ? statNameOf(pattern, item.service, item.servicePortName, item.servicePort) : name;
  const cluster: Cluster = { name, altStatName: `${statName};`, commonLbConfig: {} };
  const protocolPort = { number: item.servicePort, name: '', protocol: item.protocol };
  cluster.connectTimeout = connectTimeout(settings);
  const policy = item.pool ? { connectionPool: inboundPool(item.pool) } : {};
  applyTrafficPolicy(cluster, policy, protocolPort, { upgrades: false, detects: true }, note);
  if (item.services.length > 0) cluster.metadata = { filterMetadata: { istio: { services: item.services } } };
  if (item.app === undefined) {
    cluster.type = 'ORIGINAL_DST';
    cluster.lbPolicy = 'CLUSTER_PROVIDED';
    cluster.upstreamBindConfig = passthroughSource(ip);
    return cluster;
  }
  cluster.type = 'STATIC';
  cluster.lbPolicy = 'ROUND_ROBIN';
  const address =
    'pipe' in item.app
      ? { pipe: { path: item.app.pipe } }
      : { socketAddress: { address: item.app.address, portValue: item.app.port } };
  cluster.loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] };
  // Rules that capture connections let those from there pass; without such rules `::6` cannot be bound.
  const away = 'pipe' in item.app || !isLoopback(item.app.address);
  if (away && (captured || wildcard(ip) !== '::')) cluster.upstreamBindConfig = passthroughSource(ip);
  return cluster;
}

/** As istiod: what clients ask of the protocol does not say what the application speaks. */
function inboundPool({ tcp, http }: ConnectionPool): ConnectionPool {
  if (!http) return { tcp };
  const { h2UpgradePolicy: _upgrade, useClientProtocol: _protocol, ...limits } = http;
  return { tcp, http: limits };
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.');

const passthroughSource = (ip: string) => ({
  sourceAddress: { address: wildcard(ip) === '::' ? '::6' : '127.0.0.6', portValue: 0 },
});

/** A listener per port, bound where the workload is reached. */
function boundInboundListeners(input: Inbound, ports: readonly InboundPort[]): Listener[] {
  return ports.flatMap((item) => {
    const name = `${item.bind}_${item.port}`;
    const filterChains = portChains(input, item, name, false);
    if (filterChains.length === 0) return [];
    return {
      name,
      address: { socketAddress: { address: item.bind, portValue: item.port } },
      trafficDirection: 'INBOUND',
      filterChains,
      listenerFilters: inspectorsOf(filterChains),
      listenerFiltersTimeout: detectionTimeout(input.settings),
      continueOnListenerFiltersTimeout: true,
    };
  });
}

/** Governed by the workloads that serve the port; by all where none does. */
function portChains(input: Inbound, item: InboundPort, name: string, captured: boolean): FilterChain[] {
  const { settings } = input;
  const guards = guardsOf(input, item.port);
  if (!isHttp(item.protocol)) reportNotAsked(input, item);
  const mode = input.mode(item.port);
  const at: FilterChainMatch = captured ? { destinationPort: item.port } : {};
  const cluster = inboundCluster(item.port);
  const http = () => inboundHttp(settings, guards, item, cluster, name);
  const tcp = () => [...guards.tcp, plainTcpProxy(settings.telemetry.server, cluster)];
  if (item.tls) {
    const socket = ingressSocket(input, item, item.tls);
    const filterChainMatch = { ...at, transportProtocol: 'tls' };
    return socket
      ? [{ name, filterChainMatch, filters: isHttp(item.protocol) ? http() : tcp(), transportSocket: socket }]
      : [];
  }
  if (item.protocol === 'UNSUPPORTED') return sniffedChains(input, at, name, mode, http, tcp);
  const filters = isHttp(item.protocol) ? http : tcp;
  const socket = meshServer(input, isHttp(item.protocol));
  const chains: FilterChain[] = [];
  const add = (match: FilterChainMatch, secured: boolean) =>
    chains.push({
      name,
      ...(Object.keys({ ...at, ...match }).length > 0 && { filterChainMatch: { ...at, ...match } }),
      filters: filters(),
      ...(secured && { transportSocket: socket }),
    });
  if (mode === 'STRICT') add({ transportProtocol: 'tls' }, true);
  // Nothing inspects such a port: all bytes are raw, the application's own TLS too.
  else if (mode === 'DISABLE') add({ transportProtocol: 'raw_buffer' }, false);
  else {
    add({ transportProtocol: 'tls', applicationProtocols: MESH_ALPN }, true);
    // TLS that is not the mesh's own belongs to the application.
    if (!isHttp(item.protocol)) add({ transportProtocol: 'tls' }, false);
    add({ transportProtocol: 'raw_buffer' }, false);
  }
  return chains;
}

/** Undefined, and reported: without a certificate nothing is served. */
function ingressSocket({ settings, namespace, unmet }: Inbound, { protocol, ingress }: InboundPort, tls: ServerTls) {
  const alpn = isHttp(protocol) ? WEB_ALPN : [];
  const context = serverTlsContext(tls, { alpn, settings, namespace });
  if (typeof context !== 'string') return context;
  if (ingress) unmet(ingress, `tls: ${context}: not served`);
  return undefined;
}

/** A port of undeclared protocol: HTTP and TCP chains side by side, distinguished by ALPN and the HTTP inspector. */
function sniffedChains(
  input: Inbound,
  at: FilterChainMatch,
  name: string,
  mode: MtlsMode,
  http: () => NetworkFilter[],
  tcp: () => NetworkFilter[],
): FilterChain[] {
  const chain = (match: FilterChainMatch, filters: NetworkFilter[], socket?: FilterChain['transportSocket']) => ({
    name,
    filterChainMatch: { ...at, ...match },
    filters,
    ...(socket && { transportSocket: socket }),
  });
  const tls = { transportProtocol: 'tls' };
  const plain = { transportProtocol: 'raw_buffer' };
  const secureHttp = (filters: NetworkFilter[]) =>
    chain({ ...tls, applicationProtocols: MESH_HTTP_ALPN }, filters, meshServer(input, true));
  if (mode === 'STRICT') return [secureHttp(http()), chain(tls, tcp(), meshServer(input, false))];
  const plainHttp = chain({ ...plain, applicationProtocols: PLAIN_HTTP_ALPN }, http());
  if (mode === 'DISABLE') return [plainHttp, chain(plain, tcp())];
  return [
    secureHttp(http()),
    plainHttp,
    chain({ ...tls, applicationProtocols: MESH_TCP_ALPN }, tcp(), meshServer(input, false)),
    chain(plain, tcp()),
    chain(tls, tcp()),
  ];
}

function meshServer({ settings }: Inbound, http: boolean) {
  const { trustDomain, trustDomainAliases = [] } = settings;
  const alpn = http ? [...WEB_ALPN] : [...AGREED_TCP_ALPN, ...WEB_ALPN];
  return meshServerSocket([trustDomain, ...trustDomainAliases], alpn, settings.config);
}

/** What requests and connections to a port pass before they reach the application. */
interface Guards {
  readonly http: PlacedFilters;
  /** Of connections that carry HTTP, in front of the connection manager. */
  readonly connections: readonly NetworkFilter[];
  readonly tcp: readonly NetworkFilter[];
}

function reportNotAsked({ authorization, onError }: Inbound, { port, protocol }: InboundPort): void {
  const what = protocol === 'UNSUPPORTED' ? `connections to port ${port} that carry no HTTP` : `port ${port}`;
  for (const about of authorization(port).notAsked)
    onError({
      about,
      reason: 'RuleWithoutEffect',
      message: `spec.provider: speaks HTTP and is not asked about ${what}: the policy does not restrict them`,
    });
}

function guardsOf(input: Inbound, port: number): Guards {
  const authorization = input.authorization(port);
  const { http, beforeAuthorization, afterAuthorization } = input.plugins(port);
  return {
    http: { ...authorization.http, ...http },
    connections: [...beforeAuthorization, ...afterAuthorization],
    tcp: [...beforeAuthorization, ...authorization.tcp, ...afterAuthorization],
  };
}

function inboundHttp(
  settings: ProxySettings,
  guards: Guards,
  item: { port: number; servicePort: number; protocol: Protocol; hostname: string },
  cluster: string,
  name: string,
): NetworkFilter[] {
  const retryPolicy = inboundRetries(settings.config.defaultInboundHttpRetryPolicy);
  const grpc = item.protocol === 'GRPC' || item.protocol === 'GRPC-WEB';
  const operation = item.hostname === '' ? cluster : `${item.hostname}:${item.servicePort}/*`;
  const manager = httpManager(settings, {
    side: 'inbound',
    statPrefix: `inbound_${name};`,
    policies: guards.http,
    grpcWeb: item.protocol === 'GRPC-WEB',
    routes: {
      inline: {
        name: cluster,
        validateClusters: false,
        virtualHosts: [
          {
            name: `inbound|http|${item.servicePort}`,
            domains: ['*'],
            routes: [
              {
                name: 'default',
                match: { prefix: '/' },
                decorator: { operation },
                route: {
                  cluster,
                  timeout: '0s',
                  maxStreamDuration: { maxStreamDuration: '0s', grpcTimeoutHeaderMax: '0s' },
                  // An application may close an idle connection just as a request is sent on it.
                  ...(retryPolicy && !grpc && { retryPolicy }),
                },
              },
            ],
          },
        ],
      },
    },
  });
  return [...guards.connections, manager];
}

/** With capture: everything arrives at one listener, which chains tell apart by original port. */
function virtualInbound(input: Inbound, ports: readonly InboundPort[]): Listener {
  const { settings } = input;
  const guards = guardsOf(input, 0);
  const inboundPort = settings.config.proxyInboundListenPort ?? 15006;
  const passthrough = { port: 0, servicePort: 0, protocol: 'HTTP' as const, hostname: '' };
  const named = (chains: FilterChain[]) =>
    chains.map((chain) => {
      const isManager = chain.filters?.some((filter) => filter.name.endsWith('http_connection_manager'));
      return { ...chain, name: isManager ? 'virtualInbound-catchall-http' : 'virtualInbound' };
    });
  const http = () => inboundHttp(settings, guards, passthrough, INBOUND_PASSTHROUGH, INBOUND_PASSTHROUGH);
  const tcp = () => [...guards.tcp, plainTcpProxy(settings.telemetry.server, INBOUND_PASSTHROUGH)];
  const unserved = input.portsWithMode.filter((port) => !ports.some((item) => item.port === port));
  const filterChains: FilterChain[] = [
    {
      name: 'virtualInbound-blackhole',
      filterChainMatch: { destinationPort: inboundPort },
      filters: [plainTcpProxy(NOT_LOGGED, BLACK_HOLE)],
    },
    ...[0, ...unserved.filter((port) => port !== inboundPort)].flatMap((port) => {
      const at = port === 0 ? {} : { destinationPort: port };
      return named(sniffedChains(input, at, 'virtualInbound', input.mode(port), http, tcp));
    }),
  ];
  for (const item of ports) {
    const at = item.ingress ? item.bind : '0.0.0.0';
    filterChains.push(...portChains(input, item, `${at}_${item.port}`, true));
  }
  return {
    name: 'virtualInbound',
    address: { socketAddress: { address: wildcard(input.ip), portValue: inboundPort } },
    trafficDirection: 'INBOUND',
    filterChains,
    listenerFilters: [ORIGINAL_DST, ...inspectorsOf(filterChains)],
    listenerFiltersTimeout: detectionTimeout(input.settings),
    continueOnListenerFiltersTimeout: true,
  };
}

/** The wildcard address of the family of `ip`. */
export function wildcard(ip: string): string {
  return bracketed(ip).startsWith('[') ? '::' : '0.0.0.0';
}
