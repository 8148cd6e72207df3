/** xDS Cluster and ClusterLoadAssignment to a cluster that picks endpoints. Everything is validated here, once. */

import { isIpAddress } from '../../../shared/match/cidr.ts';
import { isUnixAddress, unixAddress } from '../../../shared/match/unix-address.ts';
import type {
  Cluster as ClusterConfig,
  ClusterLoadAssignment,
  HttpProtocolOptions,
  LbEndpoint,
  LocalityLbEndpoints,
} from '../../../shared/xds/cluster.ts';
import { TUNNEL_METADATA } from '../../../shared/xds/filters/tunnel.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import { ConfigError } from '../../config-error.ts';
import { UpstreamHttp2Stats } from '../../http/codec/h2/upstream-stats.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { LocalityGroup } from '../../upstream/balancing/priority-set.ts';
import { compileLimits } from '../../upstream/circuit-breakers.ts';
import type { Cluster, DialOptions } from '../../upstream/cluster.ts';
import type { Inheritance } from '../../upstream/cluster-balanced.ts';
import { BalancedCluster } from '../../upstream/cluster-balanced.ts';
import { resolvePeriodically } from '../../upstream/cluster-dns.ts';
import { HealthChecker } from '../../upstream/health/health-checker.ts';
import { Host } from '../../upstream/host.ts';
import { OutlierDetection } from '../../upstream/outlier/outlier-detection.ts';
import { type AskedPeer, type AutoTls, autoTls, checkAutoTls, secureByRequest } from './compile-auto-tls.ts';
import { compileBalancer } from './compile-balancer.ts';
import { type CheckTls, compileCheckTls } from './compile-check-tls.ts';
import { errorStatuses } from './compile-error-statuses.ts';
import { compileHealthCheck } from './compile-health-check.ts';
import { dynamicForward, locateEndpoints } from './compile-located.ts';
import { compileProtocols, type Http2Codec, httpOptions, maySpeakHttp2 } from './compile-protocols.ts';
import { compileTunnel } from './compile-tunnel.ts';
import { compileZone, type OwnZone } from './compile-zone.ts';
import type { RunningCluster } from './running-clusters.ts';
import {
  innerSocket,
  isPlaintext,
  isSecured,
  type ProxyProtocolChoice,
  proxyProtocolChoice,
  type TransportSocket,
} from './transport-sockets.ts';

export interface ClusterDeps {
  /** Compiles a TLS context; the result is asked at each dial, so that a rotation takes effect at once. */
  tls(context: UpstreamTlsContext, hostname?: string, asked?: AskedPeer): Host['tls'];
  resolve: Runtime['resolve'];
  http2?: Http2Codec;
  /** Absent: requests go to all zones alike. */
  zone?: OwnZone | undefined;
  /** For health checks; absent in workers. */
  connect?: Runtime['connect'];
  /** Monotonic milliseconds. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** The version this one replaces: counts, ejections and resolved addresses continue. */
  previous?: Cluster;
}

type Tls = Host['tls'];
/** What transport sockets decide about an endpoint. */
interface Transports {
  readonly tls: TlsChoice;
  readonly checksTls: TlsChoice | undefined;
  readonly proxyProtocol: ProxyProtocolChoice | undefined;
}
/** The TLS of an endpoint by its metadata and host name ('' unknown), and by what its requests ask for. */
type TlsChoice = (metadata: Host['metadata'], hostname: string, asked?: AskedPeer) => Tls;
const plaintext: Tls = () => undefined;
const MOST_SNI_CONTEXTS = 4096;

/**
 * @param assignment the EDS answer; undefined while it has not come: the cluster is empty (503 UH)
 * @throws ConfigError naming the field that is not supported or not valid
 */
export function compileCluster(
  config: ClusterConfig,
  assignment: ClusterLoadAssignment | undefined,
  deps: ClusterDeps,
): RunningCluster {
  const type = config.type ?? 'STATIC';
  refuseUnsupported(config);
  const http = httpOptions(config);
  const given = type === 'EDS' ? assignment : config.loadAssignment;
  const localities = given?.endpoints ?? [];
  const auto = autoTls(http);
  const tls = tlsChoice(config, deps, auto);
  const check = config.healthChecks?.[0];
  const checkTls = compileCheckTls(check);
  const checksTls = checkTls && tlsChoice(config, deps, undefined, checkTls);
  const proxyProtocol = proxyProtocolChoice(config);
  const inheritance = inherit(deps.previous);
  const closers: (() => void)[] = [];
  const overprovisioning = overprovisioningOf(given);
  const cluster = new BalancedCluster(
    {
      name: config.name,
      protocols: compileProtocols(http, isSecured(config), deps.http2),
      connectTimeoutMs: config.connectTimeout ? durationMs(config.connectTimeout) : 5000,
      limits: compileLimits(config),
      highLimits: compileLimits(config, 'HIGH'),
      maxStreamMs: milliseconds(http?.commonHttpProtocolOptions?.maxStreamDuration),
      maxConnectionMs: milliseconds(http?.commonHttpProtocolOptions?.maxConnectionDuration),
      dial: dialOptions(config),
      maxRequestsPerConnection: http?.commonHttpProtocolOptions?.maxRequestsPerConnection ?? 0,
      idleTimeoutMs: idleTimeout(http),
      destination: destinationOf(config),
      errorStatuses: errorStatuses(http),
      now: deps.now,
      balancer: compileBalancer(config, overprovisioning, deps),
      priorities: {
        overprovisioning,
        panicThreshold: Math.round(panicThreshold(config)),
        weighLocalities: config.commonLbConfig?.localityWeightedLbConfig !== undefined,
        zone: compileZone(config, Math.round(panicThreshold(config)), deps.zone),
      },
    },
    inheritance,
    () => {
      for (const close of closers) close();
    },
  );
  const groupsOf = (from: readonly LocalityLbEndpoints[]) =>
    from.map((locality) => groupOf(locality, type, { tls, checksTls, proxyProtocol }, inheritance, deps.now()));
  const build = () => cluster.setGroups(groupsOf(localities));
  if (config.outlierDetection) {
    const { endpoints, recompute } = cluster;
    const { now, random } = deps;
    cluster.detectOutliers(
      new OutlierDetection(
        config.outlierDetection,
        { now, random, endpoints, changed: recompute },
        inheritance.outliers,
      ),
    );
  } else inheritance.outliers.clear();
  if (check) {
    const { connect } = deps;
    if (config.healthChecks!.length > 1) throw new ConfigError('healthChecks', 'must be one');
    if (!connect) throw new ConfigError('healthChecks', 'need sockets, which this runtime does not have');
    const { rules, makeProbe } = compileHealthCheck(
      check,
      { name: config.name, http2: maySpeakHttp2(http) },
      { connect },
    );
    const { use, highUse, checks: counts } = inheritance;
    const { now, random } = deps;
    const hadTraffic = () =>
      cluster.endpoints().some(({ stats }) => stats !== undefined && stats.cxTotal > 0) ||
      use.connections + highUse.connections > 0;
    cluster.checkHealth((changed) => new HealthChecker(rules, makeProbe, { counts, now, random, hadTraffic, changed }));
  }
  if (auto) cluster.secured = secureByRequest(auto, (host, asked) => tls(host.metadata, host.hostname, asked));
  if (proxyProtocol) cluster.forClient = (endpoint, client) => (endpoint as Host).forClient(client);
  // After everything that may be refused: the version in use shares this state.
  build();
  locateEndpoints(config, cluster, deps, config.transportSocket !== undefined, (address, port, hostname) =>
    locatedHost({ address, port, hostname }, { tls, proxyProtocol }, inheritance, deps.now()),
  );
  if (type === 'STRICT_DNS' || type === 'LOGICAL_DNS') {
    const names = new Set(localities.flatMap((l) => (l.lbEndpoints ?? []).map((e) => addressOf(e).address)));
    for (const name of inheritance.resolved.keys()) if (!names.has(name)) inheritance.resolved.delete(name);
    for (const name of names) {
      if (!isIpAddress(name) && !isUnixAddress(name))
        closers.push(resolvePeriodically(name, config, deps, inheritance.resolved, build));
    }
  }
  return Object.assign(cluster, {
    updateEndpoints: (next: ClusterLoadAssignment) => {
      if (type !== 'EDS' || overprovisioningOf(next) !== overprovisioning) return false;
      const groups = groupsOf(next.endpoints ?? []);
      if (!cluster.keepsEndpoints(groups)) return false;
      cluster.setGroups(groups);
      return true;
    },
  });
}

/** In percent. */
function overprovisioningOf(assignment: ClusterLoadAssignment | undefined): number {
  return assignment?.policy?.overprovisioningFactor ?? 140;
}

function refuseUnsupported(config: ClusterConfig): void {
  if (config.name.includes('\0')) throw new ConfigError('name', 'must not hold a NUL');
  const dynamic = dynamicForward(config) !== undefined;
  if (dynamic && (config.type !== undefined || config.loadAssignment))
    throw new ConfigError('clusterType', 'excludes type and loadAssignment');
  if (dynamic !== (config.lbPolicy === 'CLUSTER_PROVIDED') && config.type !== 'ORIGINAL_DST') {
    throw new ConfigError('lbPolicy', 'CLUSTER_PROVIDED belongs to type ORIGINAL_DST and to dynamic forward proxies');
  }
  if (config.type === 'ORIGINAL_DST' && config.loadAssignment) {
    throw new ConfigError('loadAssignment', 'must be absent with type ORIGINAL_DST');
  }
}

function dialOptions(config: ClusterConfig): DialOptions {
  const { address, portValue = 0 } = config.upstreamBindConfig?.sourceAddress ?? {};
  if (address !== undefined && (!isIpAddress(address) || portValue !== 0))
    throw new ConfigError('upstreamBindConfig.sourceAddress', 'must be an IP address with port 0');
  const keepalive = config.upstreamConnectionOptions?.tcpKeepalive;
  return {
    ...(address !== undefined && { localAddress: address }),
    // Linux's own default, which Envoy leaves in place, is two hours.
    ...(keepalive && { keepAliveMs: (keepalive.keepaliveTime ?? 7200) * 1000 }),
  };
}

/** 0: none. */
function milliseconds(duration: string | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}

/** Envoy's default is an hour; "0s" is never. */
function idleTimeout(http: HttpProtocolOptions | undefined): number {
  const value = http?.commonHttpProtocolOptions?.idleTimeout;
  return value === undefined ? 3_600_000 : durationMs(value);
}

/** An empty Percent is 0: never. */
function panicThreshold(config: ClusterConfig): number {
  const percent = config.commonLbConfig?.healthyPanicThreshold;
  const value = percent === undefined ? 50 : (percent.value ?? 0);
  if (!(value >= 0 && value <= 100)) throw new ConfigError('commonLbConfig.healthyPanicThreshold', 'must be 0 to 100');
  return value;
}

function inherit(previous: Cluster | undefined): Inheritance {
  if (previous instanceof BalancedCluster) return previous.inheritance;
  return {
    use: { connections: 0, pending: 0, requests: 0, retries: 0 },
    highUse: { connections: 0, pending: 0, requests: 0, retries: 0 },
    hosts: new Map(),
    outliers: new Map(),
    checks: { attempt: 0, success: 0, failure: 0, networkFailure: 0 },
    http2: new UpstreamHttp2Stats(),
    resolved: new Map(),
  };
}

function destinationOf(config: ClusterConfig): Cluster['destination'] {
  const services = config.metadata?.filterMetadata?.['istio']?.['services'];
  const first = Array.isArray(services) ? services[0] : undefined;
  if (typeof first !== 'object' || first === null || Array.isArray(first)) return undefined;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return { host: text(first['host']), name: text(first['name']), namespace: text(first['namespace']) };
}

/** First match by the endpoint's metadata `envoy.transport_socket_match`; else the cluster's own; else plaintext. */
function tlsChoice(
  config: ClusterConfig,
  deps: ClusterDeps,
  auto: AutoTls | undefined,
  forChecks?: CheckTls,
): TlsChoice {
  const compile = (socket: TransportSocket): ((hostname: string, asked?: AskedPeer) => Tls) => {
    if (isPlaintext(socket)) return () => plaintext;
    const typed = innerSocket(socket).typedConfig as UpstreamTlsContext;
    const context = forChecks ? forChecks.adapt(typed) : typed;
    if (auto) checkAutoTls(auto, context);
    const shared = deps.tls(context);
    if (!context.autoHostSni && !auto) return () => shared;
    // One context a name: endpoints of one DNS name share theirs.
    const byName = new Map<string, Tls>([[' ', shared]]);
    return (hostname, asked) => {
      const key = `${context.autoHostSni ? hostname : ''} ${asked?.name ?? ''}`;
      let found = byName.get(key);
      if (!found) {
        // Clients of a dynamic forward proxy name as many hosts as they like.
        if (byName.size > MOST_SNI_CONTEXTS) byName.clear();
        byName.set(key, (found = deps.tls(context, hostname, asked)));
      }
      return found;
    };
  };
  const matches = (config.transportSocketMatches ?? []).map((entry) => ({
    wanted: Object.entries(entry.match ?? {}),
    tls: compile(entry.transportSocket),
  }));
  const otherwise = config.transportSocket ? compile(config.transportSocket) : () => plaintext;
  return (metadata, hostname, asked) => {
    const labels = forChecks?.criteria ?? metadata?.['envoy.transport_socket_match'] ?? {};
    const found = matches.find(({ wanted }) => wanted.every(([key, value]) => labels[key] === value));
    return (found ? found.tls : otherwise)(hostname, asked);
  };
}

function addressOf(endpoint: LbEndpoint): { address: string; port: number } {
  const { socketAddress: socket, pipe } = endpoint.endpoint?.address ?? {};
  if (pipe) return { address: unixAddress(pipe.path), port: 0 };
  if (!socket) throw new ConfigError('endpoint.address', 'must be a socketAddress or a pipe');
  if (socket.protocol === 'UDP') throw new ConfigError('endpoint.address.socketAddress.protocol', 'must be TCP');
  return { address: socket.address, port: socket.portValue ?? 0 };
}

/** An endpoint that a request named. */
function locatedHost(
  at: { readonly address: string; readonly port: number; readonly hostname: string },
  { tls, proxyProtocol }: Pick<Transports, 'tls' | 'proxyProtocol'>,
  inheritance: Inheritance,
  now: number,
): Host {
  const fields = { ...at, weight: 1, priority: 0, locality: '', metadata: undefined };
  const reached = { tls: tls(undefined, at.hostname), proxyProtocol: proxyProtocol?.(undefined) };
  return new Host({ ...fields, ...reached, edsHealth: 'UNKNOWN' }, inheritance.hosts, now);
}

function groupOf(
  group: LocalityLbEndpoints,
  type: NonNullable<ClusterConfig['type']>,
  { tls, checksTls, proxyProtocol }: Transports,
  inheritance: Inheritance,
  now: number,
): LocalityGroup {
  if ((group.priority ?? 0) > 127) throw new ConfigError('endpoints.priority', 'must be at most 127');
  const { region = '', zone = '', subZone = '' } = group.locality ?? {};
  const locality = [region, zone, subZone].join('/').replace(/\/+$/, '');
  const dns = type === 'STRICT_DNS' || type === 'LOGICAL_DNS';
  const hosts = (group.lbEndpoints ?? []).flatMap((endpoint) => {
    const { address, port } = addressOf(endpoint);
    const literal = isIpAddress(address) || isUnixAddress(address);
    if (!literal && !dns)
      throw new ConfigError('endpoint.address', `"${address}" must be an IP address in a ${type} cluster`);
    const addresses = literal ? [address] : (inheritance.resolved.get(address) ?? []);
    const metadata = endpoint.metadata?.filterMetadata;
    const status = endpoint.healthStatus ?? 'UNKNOWN';
    const hostname = endpoint.endpoint?.hostname || (literal ? '' : address);
    const { portValue, hostname: checkedName, disableActiveHealthCheck } = endpoint.endpoint?.healthCheckConfig ?? {};
    return (type === 'LOGICAL_DNS' ? addresses.slice(0, 1) : addresses).map(
      (resolved) =>
        new Host(
          {
            address: resolved,
            port,
            hostname,
            weight: Math.max(endpoint.loadBalancingWeight ?? 1, 1),
            priority: group.priority ?? 0,
            locality,
            tls: tls(metadata, hostname),
            proxyProtocol: proxyProtocol?.(metadata),
            metadata,
            tunnel: compileTunnel(metadata?.[TUNNEL_METADATA]),
            edsHealth: status,
            healthCheck: {
              port: portValue ?? 0,
              hostname: checkedName ?? '',
              disabled: disableActiveHealthCheck ?? false,
              ...(checksTls && { tls: checksTls(metadata, hostname) }),
            },
          },
          inheritance.hosts,
          now,
        ),
    );
  });
  return { priority: group.priority ?? 0, locality, weight: group.loadBalancingWeight ?? 0, hosts };
}
