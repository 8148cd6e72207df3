/** TLS of a Gateway's server: its certificates, and what it asks of clients. */
import type { FilterChain } from '../../../shared/xds/listener.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { serverTlsContext, WEB_ALPN } from '../security/server-tls.ts';
import { meshServerSocket } from '../security/tls-context.ts';
import { AGREED_TCP_ALPN } from '../sidecar/inbound.ts';
import type { GatewayServer } from './gateway-server.ts';

export interface GatewayTls {
  readonly settings: MeshSettings;
  note(message: string): void;
}

/** undefined, and noted: the server names no certificate. Without one nothing is served. */
export function gatewayTlsSocket(
  server: GatewayServer,
  { settings, note }: GatewayTls,
): FilterChain['transportSocket'] | undefined {
  const tls = server.tls ?? {};
  const { trustDomain, trustDomainAliases = [] } = settings;
  const alpn = server.kind === 'tls' ? [] : WEB_ALPN;
  const mode = tls.mode ?? 'SIMPLE';
  if (mode === 'ISTIO_MUTUAL')
    return meshServerSocket(
      [trustDomain, ...trustDomainAliases],
      server.kind === 'tls' ? AGREED_TCP_ALPN : WEB_ALPN,
      settings.config.meshMTLS?.minProtocolVersion,
    );
  const refuse = (reason: string) => {
    note(`Gateway ${server.gateway} port ${server.port}: ${reason}: not served`);
    return undefined;
  };
  const context = serverTlsContext(tls, { alpn, settings });
  return typeof context === 'string' ? refuse(context) : context;
}
