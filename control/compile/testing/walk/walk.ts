/** Walks a call through compiled xDS as Envoy does; the errors are the words of shared/reference/simulation. */
import type { Snapshot } from '../../../../shared/xds/discovery.ts';
import type { HttpConnectionManager } from '../../../../shared/xds/http-connection-manager.ts';
import type { FilterChain, Listener, TcpProxy } from '../../../../shared/xds/listener.ts';
import { type Call, type Connection, connectionOf, type Met } from './call.ts';
import { chainOf } from './filter-chain.ts';
import { routeOf, virtualHostOf } from './route.ts';

export function walk({ listeners = [], routes = [] }: Snapshot, given: Call): Met {
  const call = connectionOf(given);
  const listener = listenerOf(listeners, call);
  if (!listener) return { error: 'no listener matched' };
  const met: Met = { listener: listener.name };
  const chosen = chainOf(listener, call);
  if ('error' in chosen) return { ...met, error: chosen.error };
  const { chain } = chosen;
  met.filterChain = chain.name ?? '';
  const refused = tlsViolation(chain, call);
  if (refused) return { ...met, error: refused };
  const manager = filterOf<HttpConnectionManager>(chain, 'HttpConnectionManager');
  if (manager) return { ...met, ...request(manager, chain, call, routes) };
  const tcp = filterOf<TcpProxy>(chain, 'TcpProxy');
  return { ...met, cluster: tcp?.cluster ?? tcp?.weightedClusters?.clusters?.[0]?.name ?? '' };
}

function listenerOf(listeners: readonly Listener[], { inbound, address, port }: Connection): Listener | undefined {
  if (inbound) return listeners.find(({ name }) => name === 'virtualInbound');
  const at = (wanted: string) =>
    listeners.find(({ address: { socketAddress } }) => {
      return socketAddress?.address === wanted && socketAddress.portValue === port;
    });
  return at(address) ?? at('0.0.0.0') ?? listeners.find(({ name }) => name === 'virtualOutbound');
}

function tlsViolation(chain: FilterChain, call: Connection): string | undefined {
  if (!chain.transportSocket) return undefined;
  if (call.tls === 'plaintext') return 'invalid TLS';
  return takesMtls(chain, call.mtlsSecretName) === (call.tls === 'mtls') ? undefined : 'invalid mTLS';
}

function takesMtls({ transportSocket }: FilterChain, secret: string): boolean {
  const context = transportSocket?.typedConfig;
  if (!context || !('requireClientCertificate' in context)) return false;
  const { tlsCertificateSdsSecretConfigs: [named] = [], tlsCertificates: [pair] = [] } = context.commonTlsContext ?? {};
  // Istio's agent serves files as secrets; here the proxy reads them itself.
  const files = pair && `file-cert:${pair.certificateChain?.filename}~${pair.privateKey?.filename}`;
  return context.requireClientCertificate === true && (named?.name ?? files) === secret;
}

function filterOf<Config>({ filters = [] }: FilterChain, type: string): Config | undefined {
  return filters.find(({ typedConfig }) => typedConfig['@type'].endsWith(`.${type}`))?.typedConfig as
    | Config
    | undefined;
}

function request(
  manager: HttpConnectionManager,
  chain: FilterChain,
  call: Connection,
  configurations: NonNullable<Snapshot['routes']>,
): Met {
  if (call.tls !== 'plaintext' && !chain.transportSocket) return { error: 'protocol error' };
  if (call.protocol === 'tcp') return { error: 'protocol error' };
  const name = manager.rds?.routeConfigName;
  const config = manager.routeConfig ?? configurations.find((one) => one.name === name);
  const met: Met = name === undefined ? {} : { routeConfig: name };
  const host = config && virtualHostOf(config, call.host);
  if (!host) return { ...met, error: 'no virtual host matched' };
  met.virtualHost = host.name;
  if (host.requireTls === 'ALL' && call.tls === 'plaintext') return { ...met, error: 'tls required, sending 301' };
  const route = routeOf(host, call.path);
  if (!route) return { ...met, error: 'no route matched' };
  const { cluster } = route.route ?? {};
  return { ...met, route: route.name ?? '', ...(cluster !== undefined && { cluster }) };
}
