/** The servers of the Gateway resources that select a proxy, and which hosts of route forms each takes. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { ServerTls } from '../../../shared/resources/schema/common.ts';
import type { Server } from '../../../shared/resources/schema/gateway.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { hostCovers } from '../names.ts';
import type { ProxyView } from '../scope/proxy.ts';
import { selectsProxy } from '../scope/workloads.ts';

type Gateway = ResourceOfKind<'Gateway'>;

/** How a server treats its connections; what ends or passes TLS can share a port, distinguished by SNI. */
type Kind = 'http' | 'https' | 'tcp' | 'tls' | 'passthrough' | 'auto-passthrough';

/** One `server` of one Gateway. */
export interface GatewayServer {
  /** `namespace/name` */
  gateway: string;
  owner: Gateway;
  name: string;
  namespace: string;
  port: number;
  portName: string;
  kind: Kind;
  /** Hosts as written, `ns/host` or `host`. */
  hosts: string[];
  tls: ServerTls | undefined;
  bind: string | undefined;
  /** Its clients may speak gRPC-Web. */
  grpcWeb: boolean;
  routeName: string;
}

/** Servers of one port that can share it. */
export function familyOf(server: GatewayServer | undefined): 'http' | 'tcp' | 'tls' {
  return server?.kind === 'http' || server?.kind === 'tcp' ? server.kind : 'tls';
}

/** Gateway resources whose selector picks the proxy, oldest first. */
export function gatewaysFor(
  all: readonly Gateway[],
  proxy: Pick<ProxyView, 'labels' | 'workloads'>,
): readonly Gateway[] {
  return all.filter((gateway) => selectsProxy(specOf(gateway).selector ?? {}, proxy));
}

/** Service port -> the port that is listened on, where a Service maps it elsewhere; else they are the same. */
export type ListenPorts = Readonly<Record<string, string>>;

export function listenPort(ports: ListenPorts, port: number): number {
  return Number(ports[String(port)] ?? port);
}

/** By port number, lowest first. */
export function serversByPort(
  gateways: readonly Gateway[],
  note: (message: string) => void,
): Map<number, GatewayServer[]> {
  const byPort = new Map<number, GatewayServer[]>();
  for (const gateway of gateways)
    for (const item of specOf(gateway).servers ?? []) {
      const server = serverOf(gateway, item, note);
      if (!server) continue;
      byPort.set(server.port, [...(byPort.get(server.port) ?? []), server]);
    }
  return new Map([...byPort].sort(([a], [b]) => a - b));
}

/** undefined, and noted: no listener can be made of it. */
function serverOf(
  gateway: Gateway,
  { port, hosts, tls, bind }: Server,
  note: (message: string) => void,
): GatewayServer | undefined {
  const namespace = namespaceOf(gateway);
  const { name } = gateway.metadata;
  const { number, name: portName } = port;
  const protocol = port.protocol.toUpperCase();
  const label = `Gateway ${namespace}/${name} port ${number}`;
  const kind = kindOf(protocol, tls);
  if (!kind) {
    const mode = tls ? ` ${tls.mode ?? ''}` : '';
    note(`${label}: ${protocol || 'no protocol'}${mode} is not supported: no listener`);
    return undefined;
  }
  return {
    gateway: `${namespace}/${name}`,
    owner: gateway,
    name,
    namespace,
    port: number,
    portName,
    kind,
    hosts,
    tls,
    bind: bind || undefined,
    grpcWeb: protocol === 'GRPC-WEB',
    routeName: kind === 'http' ? `http.${number}` : `https.${number}.${portName}.${name}.${namespace}`,
  };
}

/** undefined: Istio's admission refuses such a server, or this proxy cannot serve it. */
function kindOf(protocol: string, tls: ServerTls | undefined): Kind | undefined {
  if (['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'].includes(protocol)) return 'http';
  const mode = tls?.mode ?? 'SIMPLE';
  const l4 = ['TCP', 'TLS', 'MONGO', 'MYSQL', 'REDIS'].includes(protocol);
  if (tls && (protocol === 'HTTPS' || l4)) {
    if (mode === 'PASSTHROUGH') return 'passthrough';
    if (mode === 'AUTO_PASSTHROUGH') return 'auto-passthrough';
    if (['SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'].includes(mode)) return l4 ? 'tls' : 'https';
    return undefined;
  }
  return l4 && protocol !== 'TLS' ? 'tcp' : undefined;
}

/** The names a server answers for, without the namespaces it takes routes from. */
export function serverHosts(server: GatewayServer): string[] {
  return server.hosts.map((host) => host.slice(host.indexOf('/') + 1));
}

/** Host names both have, the narrower of two that overlap. A server host may demand the namespace of the routes. */
export function sharedHosts({ origin: { namespace }, hosts: wanted }: RouteForm, server: GatewayServer): string[] {
  const shared = new Set<string>();
  for (const written of server.hosts) {
    const slash = written.indexOf('/');
    const from = slash < 0 ? '*' : written.slice(0, slash);
    const pattern = written.slice(slash + 1);
    if (from !== '*' && from !== namespace && !(from === '.' && namespace === server.namespace)) continue;
    for (const host of wanted) {
      if (hostCovers(pattern, host)) shared.add(host);
      else if (hostCovers(host, pattern)) shared.add(pattern);
    }
  }
  return [...shared];
}
