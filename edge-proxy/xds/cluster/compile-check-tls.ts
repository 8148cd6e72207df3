/** What health checks change of their cluster's TLS: the protocols offered, and which of its transport sockets is used. */
import type { HealthCheck } from '../../../shared/xds/cluster.ts';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';

export interface CheckTls {
  /** Replaces an endpoint's `envoy.transport_socket_match`; undefined: the endpoint's own. */
  readonly criteria: Readonly<Record<string, unknown>> | undefined;
  readonly speaksHttp2: boolean;
  adapt(context: UpstreamTlsContext): UpstreamTlsContext;
}

/** @returns undefined where checks dial as traffic does */
export function compileCheckTls(check: HealthCheck | undefined): CheckTls | undefined {
  if (!check) return undefined;
  const { tlsOptions, transportSocketMatchCriteria: criteria, grpcHealthCheck, httpHealthCheck } = check;
  const speaksHttp2 = grpcHealthCheck !== undefined || httpHealthCheck?.codecClientType === 'HTTP2';
  const offered = tlsOptions?.alpnProtocols ?? [];
  if (!speaksHttp2 && offered.length === 0 && !criteria) return undefined;
  const alpnOf = (configured: readonly string[] | undefined): string[] => {
    if (offered.length > 0) return [...offered];
    // HTTP/2 over TLS is always agreed on by ALPN (RFC 9113 section 3.2).
    return configured?.length ? [...configured] : speaksHttp2 ? ['h2'] : [];
  };
  return {
    criteria,
    speaksHttp2,
    adapt: (context) => ({
      ...context,
      commonTlsContext: {
        ...context.commonTlsContext,
        alpnProtocols: alpnOf(context.commonTlsContext?.alpnProtocols),
      },
    }),
  };
}
