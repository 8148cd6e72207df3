/** Fragments of gateways: listeners, virtual hosts, TLS contexts. */
import type { Resource } from '../../../../shared/resources/resource.ts';
import { tlsMeaning } from '../golden-compare.ts';
import { type Fragment, gatewaySnapshot, type Json, type Outcome, settingsOf } from './fragment.ts';

const NETWORKING = 'networking.istio.io/v1';

interface RouteInput {
  readonly objects: readonly Resource[];
  readonly routeConfig: string;
  readonly gatewayProxy: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
  readonly knownService: { readonly hostname: string; readonly namespace: string; readonly port: number };
}

type Servers = { servers: (Json & { tls?: Json })[] };

/** A server that ends TLS without any certificate is not served: these cases name one. */
function withCertificate(resource: Resource): Resource {
  if (resource.kind !== 'Gateway') return resource;
  const spec = resource.spec as Servers;
  const servers = spec.servers.map((server) =>
    server.tls?.['mode'] === 'SIMPLE' ? { ...server, tls: { credentialName: 'one', ...server.tls } } : server,
  );
  return { ...resource, spec: { ...spec, servers } };
}

/** Domains and number of routes of each virtual host, and whether all of them require TLS. */
export function virtualHosts({ input, expected }: Fragment<RouteInput>): Outcome {
  const { hostname, namespace, port } = input.knownService;
  const service = {
    apiVersion: NETWORKING,
    kind: 'ServiceEntry',
    metadata: { name: 'known', namespace },
    spec: { hosts: [hostname], ports: [{ number: port, name: 'http', protocol: 'HTTP' }], resolution: 'STATIC' },
  };
  const { routes = [] } = gatewaySnapshot([...input.objects.map(withCertificate), service], input.gatewayProxy);
  const hosts = routes.find(({ name }) => name === input.routeConfig)?.virtualHosts ?? [];
  return {
    made: {
      virtualHostDomains: Object.fromEntries(hosts.map((host) => [host.name, host.domains])),
      httpRouteCount: Object.fromEntries(hosts.map((host) => [host.name, (host.routes ?? []).length])),
      requireTlsAll: hosts.length > 0 && hosts.every(({ requireTls }) => requireTls === 'ALL'),
    },
    expected,
  };
}

/** Servers of these cases that name no hosts match all hosts. */
function withHosts(resource: Resource): Resource {
  if (resource.kind !== 'Gateway') return resource;
  const spec = resource.spec as Servers;
  return { ...resource, spec: { ...spec, servers: spec.servers.map((server) => ({ hosts: ['*'], ...server })) } };
}

export function listenerNames({ input, expected }: Fragment<{ objects: readonly Resource[] }>): Outcome {
  const { listeners = [] } = gatewaySnapshot(input.objects.map(withHosts), { namespace: 'testns' });
  return { made: { listeners: listeners.map(({ name }) => name).sort() }, expected };
}

interface TlsInput {
  readonly server: { readonly port: object; readonly hosts: readonly string[]; readonly tls: object };
  readonly meshConfig?: object;
}

/** The TLS context of a server's chain by its meaning, with the parameters that are not defaults. */
export function tlsContext({ input, expected }: Fragment<TlsInput>): Outcome {
  const { server, meshConfig } = input;
  const gateway = {
    apiVersion: NETWORKING,
    kind: 'Gateway',
    metadata: { name: 'gateway', namespace: 'default' },
    spec: { servers: [{ ...server, port: { number: 443, name: 'https', ...server.port } }] },
  };
  const { listeners = [] } = gatewaySnapshot([gateway], { settings: settingsOf(meshConfig) });
  const socket = listeners[0]?.filterChains?.[0]?.transportSocket;
  const typed = expected && { typedConfig: { '@type': 'DownstreamTlsContext', ...(expected as Json) } };
  return { made: serverMeaning(socket), expected: serverMeaning(typed) };
}

function serverMeaning(socket: unknown): unknown {
  const meaning = tlsMeaning(socket);
  if (meaning === undefined) return null;
  const common = ((socket as Json)['typedConfig'] as Json)['commonTlsContext'] as Json;
  const {
    tlsMinimumProtocolVersion: _min,
    tlsMaximumProtocolVersion: _max,
    ...params
  } = (common['tlsParams'] ?? {}) as Json;
  return { ...meaning, params };
}
