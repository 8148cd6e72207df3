/** The ports that reach the workload: those of its services, or those that a Sidecar declares in their place. */
import { type Protocol, parseProtocol } from '../../../shared/match/protocol.ts';
import type { ConnectionPool, ServerTls } from '../../../shared/resources/schema/common.ts';
import type { Ingress } from '../../../shared/resources/schema/sidecar.ts';
import type { MeshService } from '../../mesh/view.ts';
import { type DestinationRule, trafficPolicy } from '../cluster/destination-rule.ts';
import type { Instance, LocalWorkload } from '../scope/workloads.ts';
import type { MtlsMode } from '../security/peer-authentication.ts';
import type { ProxySettings } from './http-manager.ts';

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
  /** Of a service; undefined: none sends to the port. */
  service?: MeshService;
  servicePortName?: string;
  services: { host: string; name: string; namespace: string }[];
  /** It has a listener of its own: always without capture, and with capture where a Sidecar says NONE. */
  bound: boolean;
  /** Of `ingress`. */
  tls?: ServerTls;
  /** Limits of its cluster. */
  pool: ConnectionPool | undefined;
  /** Where a Sidecar declares it. */
  ingress?: Ingress;
}

export interface InboundPorts {
  readonly settings: ProxySettings;
  readonly namespace: string;
  readonly instances: readonly Instance[];
  /** The `ingress` entries of the Sidecar of each workload that has some. */
  readonly ingress: ReadonlyMap<LocalWorkload, readonly Ingress[]>;
  /** `inboundConnectionPool` of the Sidecar of each workload. */
  readonly pools: ReadonlyMap<LocalWorkload, ConnectionPool | undefined>;
  /** The DestinationRule of the service of each instance. */
  readonly rules: readonly (DestinationRule | undefined)[];
  /** Of the workloads that serve a port; 0: of all. */
  mode(port: number): MtlsMode;
  /** The main address of the workload. */
  readonly ip: string;
  /** Port name or number -> the application's port. */
  readonly appPorts: Readonly<Record<string, string>>;
  readonly captured: boolean;
  note(message: string): void;
  /** Takes what of an `ingress` entry is not in force as written. */
  unmet(item: Ingress, reason: string): void;
}

/** What the Sidecars declare, then what services send to at workloads whose Sidecar declares nothing. */
export function inboundPorts(input: InboundPorts): InboundPort[] {
  const declared = declaredPorts(input);
  const taken = new Set(declared.map((item) => item.port));
  return [...declared, ...servicePorts(input).filter((item) => !taken.has(item.port))];
}

/** Limits of a Sidecar; without any, those of the DestinationRule of the service, whose clients have them as well. */
function poolOf({ pools, rules, instances }: InboundPorts, instance: Instance): ConnectionPool | undefined {
  const ofSidecar = pools.get(instance.workload);
  if (ofSidecar) return ofSidecar;
  const rule = rules[instances.indexOf(instance)];
  return trafficPolicy(rule, instance.port, undefined).connectionPool;
}

/** Every service port with an endpoint at this proxy; two services on one target port share it, the oldest names it. */
function servicePorts(input: InboundPorts): InboundPort[] {
  const { instances, ingress, appPorts, captured, settings, note } = input;
  const toLocalhost = !captured || settings.config.inboundTrafficPolicy?.mode === 'LOCALHOST';
  const found = new Map<number, InboundPort>();
  for (const instance of instances) {
    const { service, port, endpoint, workload } = instance;
    if (port.protocol === 'UDP' || ingress.has(workload)) continue;
    const identity = { host: service.hostname, name: service.name, namespace: service.namespace };
    const first = found.get(endpoint.port);
    if (first) {
      if (!first.services.some((item) => item.host === identity.host)) first.services.push(identity);
      continue;
    }
    const given = appPorts[port.name] ?? appPorts[String(endpoint.port)];
    const app = Number(given ?? endpoint.port);
    if (!captured && app === endpoint.port && endpoint.address === '127.0.0.1')
      note(
        `port ${app}: the application and its proxy share 127.0.0.1; give the application a port of its own (APP_PORTS)`,
      );
    found.set(endpoint.port, {
      port: endpoint.port,
      servicePort: port.number,
      protocol: port.protocol,
      bind: endpoint.address,
      // With capture the application is reached where the connection was sent, unless it says that it listens elsewhere.
      app: toLocalhost || given !== undefined ? { address: '127.0.0.1', port: app } : undefined,
      hostname: service.hostname,
      service,
      servicePortName: port.name,
      services: [identity],
      bound: !captured,
      pool: poolOf(input, instance),
    });
  }
  return [...found.values()].sort((a, b) => a.port - b.port);
}

/** The ports that `ingress` of Sidecars declares; at their workloads they replace those of the services. */
function declaredPorts(input: InboundPorts): InboundPort[] {
  const { ingress, captured, unmet } = input;
  const ports: InboundPort[] = [];
  for (const [workload, items] of ingress)
    for (const item of items) {
      const { number: port } = item.port;
      if (port === undefined || ports.some((one) => one.port === port && one.ingress === item)) continue;
      if (ports.some((one) => one.port === port)) unmet(item, 'is declared twice: the first one holds');
      else if (!captured && item.captureMode === 'IPTABLES')
        unmet(item, 'captureMode IPTABLES: this proxy captures nothing: there is no listener');
      else ports.push(declaredPort(input, workload, item, port));
    }
  return ports;
}

function declaredPort(input: InboundPorts, workload: LocalWorkload, item: Ingress, port: number): InboundPort {
  const { instances, ip, namespace, captured, pools } = input;
  const instance = instances.find((candidate) => candidate.endpoint.port === port);
  const tls = ingressTls(input, item, port);
  const written = parseProtocol(item.port.protocol ?? '');
  const app = defaultEndpoint(item.defaultEndpoint || undefined, port, ip);
  const bind = item.bind || ip;
  if (!captured && 'address' in app && app.address === bind && app.port === port)
    input.unmet(item, 'its defaultEndpoint is the listener itself; give the application another port');
  return {
    port,
    servicePort: port,
    // What HTTPS carries is HTTP once TLS has ended.
    protocol: tls && written === 'HTTPS' ? 'HTTP' : tls && written === 'TLS' ? 'TCP' : written,
    bind,
    app,
    hostname: instance?.service.hostname ?? `sidecar.${namespace}`,
    services: instance
      ? [{ host: instance.service.hostname, name: instance.service.name, namespace: instance.service.namespace }]
      : [],
    bound: !captured || item.captureMode === 'NONE',
    ...(tls && { tls }),
    pool: item.connectionPool ?? (instance ? poolOf(input, instance) : pools.get(workload)),
    ingress: item,
  };
}

/** TLS of its own ends at a port without mesh mTLS alone, as in istiod. */
function ingressTls({ mode, unmet }: InboundPorts, item: Ingress, port: number): ServerTls | undefined {
  const { tls } = item;
  if (!tls) return undefined;
  const without = (reason: string) => {
    unmet(item, `tls ${reason}`);
    return undefined;
  };
  if ((tls.mode ?? 'PASSTHROUGH') === 'PASSTHROUGH')
    return without('has no effect with mode PASSTHROUGH: TLS ends at the application');
  if (mode(port) === 'DISABLE') return tls;
  return without(`has no effect: mesh mTLS of the port is ${mode(port)}, it must be DISABLE (PeerAuthentication)`);
}

function defaultEndpoint(
  endpoint: string | undefined,
  port: number,
  instanceIp: string,
): NonNullable<InboundPort['app']> {
  if (endpoint === undefined) return { address: '127.0.0.1', port };
  if (endpoint.startsWith('unix://')) return { pipe: endpoint.slice('unix://'.length) };
  const colon = endpoint.lastIndexOf(':');
  const address = endpoint.slice(0, colon).replace(/^\[|\]$/g, '');
  // As documented: the wildcard addresses mean the instance's own address.
  const own = address === '0.0.0.0' || address === '::' || address === '';
  return { address: own ? instanceIp : address, port: Number(endpoint.slice(colon + 1)) };
}
