/** What reaches the workload: the ports it serves, the TLS they ask for, and the clusters of the application itself. */
import type { Cluster } from '../../shared/xds/cluster.ts';
import type { FilterChain, FilterChainMatch, Listener, NetworkFilter } from '../../shared/xds/listener.ts';
import { fields, numeric, text } from '../mesh/fields.ts';
import { isHttp, isHttp2, protocolOf } from '../mesh/protocol.ts';
import type { Protocol } from '../mesh/view.ts';
import type { Authorization } from './authorization.ts';
import { BLACK_HOLE, connectTimeout, INBOUND_PASSTHROUGH } from './clusters.ts';
import { type CompileContext, detectionTimeout } from './context.ts';
import { HTTP_INSPECTOR, httpManager, ORIGINAL_DST, TLS_INSPECTOR, tcpProxy } from './http-manager.ts';
import { bracketed, inboundCluster } from './names.ts';
import { type MtlsMode, strictestMtlsMode } from './peer-authentication.ts';
import { meshServerSocket } from './tls-context.ts';
import { applyTrafficPolicy } from './traffic-policy.ts';
import { workloadsAt } from './workloads.ts';

const MESH_HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
export const MESH_TCP_ALPN = ['istio-peer-exchange', 'istio'];
const MESH_ALPN = ['istio', 'istio-peer-exchange', ...MESH_HTTP_ALPN];
const PLAIN_HTTP_ALPN = ['http/1.1', 'h2c'];

/** One port the workload serves. */
export interface InboundPort {
  /** Port at the workload: what callers connect to. */
  port: number;
  servicePort: number;
  protocol: Protocol;
  /** Address to bind without capture. */
  bind: string;
  /** Where the application listens; undefined: at the original destination. */
  app: { address: string; port: number } | { pipe: string } | undefined;
  hostname: string;
  services: { host: string; name: string; namespace: string }[];
}

/** What the Sidecars declare, then what services send to at workloads whose Sidecar declares nothing. */
export function inboundPorts(ctx: CompileContext): InboundPort[] {
  const declared = declaredPorts(ctx);
  const taken = new Set(declared.map((item) => item.port));
  return [...declared, ...servicePorts(ctx).filter((item) => !taken.has(item.port))];
}

/** Every service port with an endpoint at this proxy; two services on one target port share it, the oldest names it. */
function servicePorts(ctx: CompileContext): InboundPort[] {
  const { proxy } = ctx;
  const found = new Map<number, InboundPort>();
  const toLocalhost =
    proxy.interception === 'NONE' || ctx.view.settings.config.inboundTrafficPolicy?.mode === 'LOCALHOST';
  for (const { service, port, endpoint, workload } of proxy.instances) {
    if (port.protocol === 'UDP' || ctx.scope.ingress.has(workload)) continue;
    const identity = { host: service.hostname, name: service.name, namespace: service.namespace };
    const first = found.get(endpoint.port);
    if (first) {
      if (!first.services.some((item) => item.host === identity.host)) first.services.push(identity);
      continue;
    }
    const app = proxy.appPorts[port.name] ?? proxy.appPorts[String(endpoint.port)] ?? endpoint.port;
    if (proxy.interception === 'NONE' && app === endpoint.port && endpoint.address === '127.0.0.1')
      ctx.note(
        `port ${app}: the application and its proxy share 127.0.0.1; give the application a port of its own (APP_PORTS)`,
      );
    found.set(endpoint.port, {
      port: endpoint.port,
      servicePort: port.number,
      protocol: port.protocol,
      bind: endpoint.address,
      app: toLocalhost ? { address: '127.0.0.1', port: app } : undefined,
      hostname: service.hostname,
      services: [identity],
    });
  }
  return [...found.values()].sort((a, b) => a.port - b.port);
}

/** The ports that `ingress` of Sidecars declares; at their workloads they replace those of the services. */
function declaredPorts(ctx: CompileContext): InboundPort[] {
  const ports: InboundPort[] = [];
  for (const item of new Set([...ctx.scope.ingress.values()].flat())) {
    const declared = fields(item['port']);
    const port = numeric(declared['number']);
    if (port === undefined) continue;
    if (ports.some((one) => one.port === port)) {
      ctx.note(`Sidecar ingress port ${port}: is declared twice: the first one holds`);
      continue;
    }
    const instance = ctx.proxy.instances.find((candidate) => candidate.endpoint.port === port);
    ports.push({
      port,
      servicePort: port,
      protocol: protocolOf(text(declared['protocol']), text(declared['name'])),
      bind: text(item['bind']) ?? ctx.proxy.ips[0] ?? '127.0.0.1',
      app: defaultEndpoint(text(item['defaultEndpoint']), port, ctx.proxy.ips[0] ?? '127.0.0.1'),
      hostname: instance?.service.hostname ?? `sidecar.${ctx.proxy.namespace}`,
      services: instance
        ? [{ host: instance.service.hostname, name: instance.service.name, namespace: instance.service.namespace }]
        : [],
    });
    if (item['tls'] !== undefined) ctx.note(`Sidecar ingress port ${port}: tls is not supported; mesh mTLS is used`);
  }
  return ports;
}

function defaultEndpoint(endpoint: string | undefined, port: number, instanceIp: string): InboundPort['app'] {
  if (endpoint === undefined) return { address: '127.0.0.1', port };
  if (endpoint.startsWith('unix://')) return { pipe: endpoint.slice('unix://'.length) };
  const colon = endpoint.lastIndexOf(':');
  const address = endpoint.slice(0, colon);
  // As documented: 0.0.0.0 means the instance's own address.
  return { address: address === '0.0.0.0' ? instanceIp : address, port: Number(endpoint.slice(colon + 1)) };
}

export function inboundClusters(ctx: CompileContext, ports: readonly InboundPort[]): Cluster[] {
  return ports.map((item) => {
    const name = inboundCluster(item.port);
    const cluster: Cluster = { name, altStatName: `${name};`, commonLbConfig: {} };
    const protocolPort = { number: item.servicePort, name: '', protocol: item.protocol };
    applyTrafficPolicy(cluster, {}, protocolPort, ctx.note);
    cluster.connectTimeout = connectTimeout(ctx);
    if (item.services.length > 0) cluster.metadata = { filterMetadata: { istio: { services: item.services } } };
    if (item.app === undefined) {
      cluster.type = 'ORIGINAL_DST';
      cluster.lbPolicy = 'CLUSTER_PROVIDED';
      cluster.upstreamBindConfig = {
        sourceAddress: { address: wildcard(ctx) === '::' ? '::6' : '127.0.0.6', portValue: 0 },
      };
      return cluster;
    }
    cluster.type = 'STATIC';
    cluster.lbPolicy = 'ROUND_ROBIN';
    const address =
      'pipe' in item.app
        ? { pipe: { path: item.app.pipe } }
        : { socketAddress: { address: item.app.address, portValue: item.app.port } };
    cluster.loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] };
    return cluster;
  });
}

/** Without capture: a listener per port, bound where the workload is reached. */
export function boundInboundListeners(ctx: CompileContext, ports: readonly InboundPort[]): Listener[] {
  return ports.map((item) => {
    const name = `${item.bind}_${item.port}`;
    const filterChains = portChains(ctx, item, name, false);
    return {
      name,
      address: { socketAddress: { address: item.bind, portValue: item.port } },
      trafficDirection: 'INBOUND',
      filterChains,
      listenerFilters: inspectors(filterChains),
      listenerFiltersTimeout: detectionTimeout(ctx),
      continueOnListenerFiltersTimeout: true,
    };
  });
}

/** Chains that match on TLS need the TLS inspector, those that match on plain HTTP the HTTP inspector. */
function inspectors(chains: readonly FilterChain[]) {
  const matches = chains.map((chain) => chain.filterChainMatch ?? {});
  const tls =
    chains.some((chain) => chain.transportSocket) || matches.some((match) => match.transportProtocol === 'tls');
  const http = matches.some((match) => match.applicationProtocols?.includes('h2c'));
  return [...(tls ? [TLS_INSPECTOR] : []), ...(http ? [HTTP_INSPECTOR] : [])];
}

/** Governed by the workloads that serve the port; by all where none does. */
function portChains(ctx: CompileContext, item: InboundPort, name: string, captured: boolean): FilterChain[] {
  const authorization = ctx.authorization(item.port);
  const mode = modeAt(ctx, item.port);
  const at: FilterChainMatch = captured ? { destinationPort: item.port } : {};
  const cluster = inboundCluster(item.port);
  const http = () => inboundHttp(ctx, item, cluster, authorization, name);
  const tcp = () => [...authorization.tcp, tcpProxy(ctx, cluster)];
  if (item.protocol === 'UNSUPPORTED') return sniffedChains(ctx, at, name, mode, http, tcp);
  const filters = isHttp(item.protocol) ? http : tcp;
  const socket = meshServer(ctx, isHttp(item.protocol));
  const chains: FilterChain[] = [];
  const add = (match: FilterChainMatch, secured: boolean) =>
    chains.push({
      name,
      ...(Object.keys({ ...at, ...match }).length > 0 && { filterChainMatch: { ...at, ...match } }),
      filters: filters(),
      ...(secured && { transportSocket: socket }),
    });
  if (mode === 'STRICT') add({ transportProtocol: 'tls' }, true);
  else if (mode === 'DISABLE') add({ transportProtocol: 'raw_buffer' }, false);
  else {
    add({ transportProtocol: 'tls', applicationProtocols: MESH_ALPN }, true);
    // TLS that is not the mesh's own belongs to the application.
    if (!isHttp(item.protocol)) add({ transportProtocol: 'tls' }, false);
    add({ transportProtocol: 'raw_buffer' }, false);
  }
  return chains;
}

function modeAt(ctx: CompileContext, port: number): MtlsMode {
  return strictestMtlsMode(ctx.view, workloadsAt(ctx.proxy.workloads, port), port);
}

/** A port of undeclared protocol: HTTP and TCP chains side by side, told apart by ALPN and the HTTP inspector. */
function sniffedChains(
  ctx: CompileContext,
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
    chain({ ...tls, applicationProtocols: MESH_HTTP_ALPN }, filters, meshServer(ctx, true));
  if (mode === 'STRICT') return [secureHttp(http()), chain(tls, tcp(), meshServer(ctx, false))];
  const plainHttp = chain({ ...plain, applicationProtocols: PLAIN_HTTP_ALPN }, http());
  if (mode === 'DISABLE') return [plainHttp, chain(plain, tcp())];
  return [
    secureHttp(http()),
    plainHttp,
    chain({ ...tls, applicationProtocols: MESH_TCP_ALPN }, tcp(), meshServer(ctx, false)),
    chain(plain, tcp()),
    chain(tls, tcp()),
  ];
}

/** `istio` is offered on TCP chains so that peers which insist on an agreed ALPN find one. */
function meshServer(ctx: CompileContext, http: boolean) {
  const { trustDomain, trustDomainAliases = [] } = ctx.view.settings;
  const web = ctx.proxy.offersHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'];
  const alpn = http ? web : [...MESH_TCP_ALPN, ...web];
  const { meshMTLS } = ctx.view.settings.config;
  return meshServerSocket([trustDomain, ...trustDomainAliases], alpn, meshMTLS?.minProtocolVersion);
}

function inboundHttp(
  ctx: CompileContext,
  item: { port: number; servicePort: number; protocol: Protocol; hostname: string },
  cluster: string,
  authorization: Authorization,
  name: string,
): NetworkFilter[] {
  const http2 = isHttp2(item.protocol);
  const operation = item.hostname === '' ? cluster : `${item.hostname}:${item.servicePort}/*`;
  const manager = httpManager(ctx, {
    side: 'inbound',
    statPrefix: `inbound_${name};`,
    policies: authorization.http,
    http2,
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
                  ...(!http2 && { retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 } }),
                },
              },
            ],
          },
        ],
      },
    },
  });
  return [manager];
}

/** With capture: everything arrives at one listener, which chains tell apart by original port. */
export function virtualInbound(ctx: CompileContext, ports: readonly InboundPort[]): Listener {
  const authorization = ctx.authorization(0);
  const mode = modeAt(ctx, 0);
  const inboundPort = ctx.view.settings.config.proxyInboundListenPort ?? 15006;
  const passthrough = { port: 0, servicePort: 0, protocol: 'HTTP' as const, hostname: '' };
  const named = (chains: FilterChain[]) =>
    chains.map((chain) => {
      const isManager = chain.filters?.some((filter) => filter.name.endsWith('http_connection_manager'));
      return { ...chain, name: isManager ? 'virtualInbound-catchall-http' : 'virtualInbound' };
    });
  const filterChains: FilterChain[] = [
    {
      name: 'virtualInbound-blackhole',
      filterChainMatch: { destinationPort: inboundPort },
      filters: [tcpProxy(ctx, BLACK_HOLE)],
    },
    ...named(
      sniffedChains(
        ctx,
        {},
        'virtualInbound',
        mode,
        () => inboundHttp(ctx, passthrough, INBOUND_PASSTHROUGH, authorization, INBOUND_PASSTHROUGH),
        () => [...authorization.tcp, tcpProxy(ctx, INBOUND_PASSTHROUGH)],
      ),
    ),
  ];
  for (const item of ports) filterChains.push(...portChains(ctx, item, `0.0.0.0_${item.port}`, true));
  return {
    name: 'virtualInbound',
    address: { socketAddress: { address: wildcard(ctx), portValue: inboundPort } },
    trafficDirection: 'INBOUND',
    filterChains,
    listenerFilters: [ORIGINAL_DST, ...inspectors(filterChains)],
    listenerFiltersTimeout: detectionTimeout(ctx),
    continueOnListenerFiltersTimeout: true,
  };
}

/** The wildcard address of the proxy's address family. */
export function wildcard(ctx: CompileContext): string {
  return bracketed(ctx.proxy.ips[0] ?? '').startsWith('[') ? '::' : '0.0.0.0';
}
