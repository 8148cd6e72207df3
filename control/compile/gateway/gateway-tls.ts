/** TLS of a Gateway's server: its certificates, and what it asks of clients. */
import type { FilterChain } from '../../../shared/xds/listener.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { serverTlsContext, WEB_ALPN } from '../security/server-tls.ts';
import { meshServerSocket } from '../security/tls-context.ts';
import { AGREED_TCP_ALPN } from '../sidecar/inbound.ts';
import type { GatewayServer, Unserved } from './gateway-server.ts';

export interface GatewayTls {
  readonly settings: MeshSettings;
  /** The namespace of the gateway's proxies, whose Secrets they read. */
  readonly namespace: string;
  readonly unserved: Unserved;
}

/** undefined: TLS does not end here; or, and reported, the server names no certificate, and without one nothing is served. */
export function gatewayTlsSocket(
  server: GatewayServer,
  { settings, namespace, unserved }: GatewayTls,
): FilterChain['transportSocket'] | undefined {
  const tls = server.tls ?? {};
  const { trustDomain, trustDomainAliases = [] } = settings;
  const alpn = server.kind === 'tls' ? [] : WEB_ALPN;
  const { mode = 'PASSTHROUGH' } = tls;
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') return undefined;
  if (mode === 'ISTIO_MUTUAL')
    return meshServerSocket(
      [trustDomain, ...trustDomainAliases],
      server.kind === 'tls' ? AGREED_TCP_ALPN : WEB_ALPN,
      settings.config,
    );
  const refuse = (reason: string) => {
    unserved(server, reason);
    return undefined;
  };
  const context = serverTlsContext(tls, { alpn, settings, namespace });
  return typeof context === 'string' ? refuse(context) : context;
}
