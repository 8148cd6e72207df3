/** What health checks change of their cluster's TLS: the protocols offered, and which of its transport sockets is used. */
import type { HealthCheck } from '../../../shared/xds/cluster.ts';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';

export interface CheckTls {
  /** Replaces an endpoint's `envoy.transport_socket_match`; undefined: the endpoint's own. */
  readonly criteria: Readonly<Record<string, unknown>> | undefined;
  adapt(context: UpstreamTlsContext): UpstreamTlsContext;
}

/** @returns undefined where checks dial as traffic does */
export function compileCheckTls(check: HealthCheck | undefined): CheckTls | undefined {
  if (!check) return undefined;
  const { tlsOptions, transportSocketMatchCriteria: criteria } = check;
  const alpnProtocols = tlsOptions?.alpnProtocols ?? [];
  if (alpnProtocols.length === 0 && !criteria) return undefined;
  return {
    criteria,
    adapt: (context) =>
      alpnProtocols.length === 0
        ? context
        : { ...context, commonTlsContext: { ...context.commonTlsContext, alpnProtocols } },
  };
}
