/** The servers of the Gateway resources that select a proxy, and which hosts of route forms each takes. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { ServerTls } from '../../../shared/resources/schema/common.ts';
import type { Server } from '../../../shared/resources/schema/gateway.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import { hostCovers } from '../names.ts';
import type { SelectedGateway } from './gateway-ports.ts';

type Gateway = ResourceOfKind<'Gateway'>;

/** Takes why a server is not served. */
export type Unserved = (server: Pick<GatewayServer, 'owner' | 'path' | 'port'>, reason: string) => void;

/** How a server treats its connections; what ends or passes TLS can share a port, distinguished by SNI. */
type Kind = 'http' | 'https' | 'tcp' | 'tls' | 'passthrough' | 'auto-passthrough';

/** One `server` of one Gateway. */
export interface GatewayServer {
  /** `namespace/name` */
  gateway: string;
  owner: Gateway;
  /** `spec.servers[0]` */
  path: string;
  name: string;
  namespace: string;
  port: number;
  /** The port that is listened on: a target port of `port`. */
  listening: number;
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

/** Servers of one family can share a port. */
export type Family = 'http' | 'tcp' | 'tls';

function familyOf({ kind }: GatewayServer): Family {
  return kind === 'http' || kind === 'tcp' ? kind : 'tls';
}

/** The servers of one listener, oldest Gateway first. */
export interface ListenerServers {
  /** The port that is listened on. */
  readonly listening: number;
  readonly bind: string | undefined;
  readonly family: Family;
  readonly servers: readonly GatewayServer[];
}

/** What a port has been given to so far. */
interface Taken {
  readonly listening: number;
  readonly bind: string | undefined;
  readonly family: Family;
  readonly servers: GatewayServer[];
}

/**
 * By the port that is listened on, lowest first, and by `bind`: each pair is a listener of its own. Servers that cannot join
 * the older ones of their listener are left out and reported (Istio's merging of gateways).
 */
export function serversByListener(
  gateways: readonly SelectedGateway[],
  unserved: Unserved,
): readonly ListenerServers[] {
  const listeners = new Map<string, Taken>();
  const routeNames = new Set<string>();
  for (const selected of gateways)
    for (const server of serversOf(selected, unserved)) {
      const { bind, listening } = server;
      const key = `${listening} ${bind ?? ''}`;
      const taken = listeners.get(key) ?? { listening, bind, family: familyOf(server), servers: [] };
      const conflict = conflictOf(server, taken, routeNames);
      if (conflict) {
        unserved(server, conflict);
        continue;
      }
      if (server.kind === 'https') routeNames.add(server.routeName);
      taken.servers.push(server);
      listeners.set(key, taken);
    }
  return [...listeners.values()].sort((one, other) => one.listening - other.listening);
}

/** Why a server cannot join those before it; undefined: it can. */
function conflictOf(server: GatewayServer, { family, servers }: Taken, routeNames: ReadonlySet<string>) {
  const [first] = servers;
  if (!first) return undefined;
  if (familyOf(server) !== family) return `${first.gateway} uses the port with another protocol`;
  if (family === 'tcp') return `${first.gateway} uses the port, and TCP servers cannot share one`;
  if (family !== 'tls') return undefined;
  if (server.kind === 'https' && routeNames.has(server.routeName)) return 'another server has its port name';
  const owned = server.hosts.flatMap((host) => {
    const owner = servers.find((other) => qualified(other).includes(qualifiedHost(server, host)));
    return owner ? [`${host} (${owner.gateway})`] : [];
  });
  return owned.length > 0 ? `other servers of the port have its hosts ${owned.join(', ')}` : undefined;
}

const qualified = (server: GatewayServer): string[] => server.hosts.map((host) => qualifiedHost(server, host));

/** `./host` names the namespace of its Gateway. */
function qualifiedHost({ namespace }: GatewayServer, host: string): string {
  return host.startsWith('./') ? `${namespace}${host.slice(1)}` : host;
}

/** The servers of one Gateway, each once for every port that it listens on. */
function serversOf({ gateway, listenPorts }: SelectedGateway, unserved: Unserved): GatewayServer[] {
  return (specOf(gateway).servers ?? []).flatMap((item, i) => {
    const path = `spec.servers[${i}]`;
    const port = item.port.number;
    const protocol = item.port.protocol.toUpperCase();
    const kind = kindOf(protocol, item.tls);
    const report = (reason: string) => unserved({ owner: gateway, path, port }, reason);
    if (!kind) {
      const mode = item.tls ? ` ${item.tls.mode ?? ''}` : '';
      report(`${protocol || 'no protocol'}${mode} is not supported`);
      return [];
    }
    const ports = listenPorts(port);
    if (ports.length === 0) report('no Service that the Gateway names has the port');
    return ports.map((listening) => serverOf(gateway, item, { path, kind, listening }));
  });
}

function serverOf(
  gateway: Gateway,
  { port, hosts, tls, bind }: Server,
  { path, kind, listening }: Pick<GatewayServer, 'path' | 'kind' | 'listening'>,
): GatewayServer {
  const namespace = namespaceOf(gateway);
  const { name } = gateway.metadata;
  const { number, name: portName, protocol } = port;
  return {
    gateway: `${namespace}/${name}`,
    owner: gateway,
    path,
    name,
    namespace,
    port: number,
    listening,
    portName,
    kind,
    hosts,
    tls,
    bind: bind || undefined,
    grpcWeb: protocol.toUpperCase() === 'GRPC-WEB',
    routeName:
      kind === 'http'
        ? `http.${listening}${bind ? `.${bind}` : ''}`
        : `https.${number}.${portName}.${name}.${namespace}${bind ? `.${bind}` : ''}`,
  };
}

/** undefined: Istio's admission refuses such a server, or this proxy cannot serve it. */
function kindOf(protocol: string, tls: ServerTls | undefined): Kind | undefined {
  if (['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'].includes(protocol)) return 'http';
  // The first of Istio's names, which an absent one is.
  const mode = tls?.mode ?? 'PASSTHROUGH';
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
