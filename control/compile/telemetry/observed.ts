/** What the telemetry of a side adds to a listener as a whole. */
import type { Listener } from '../../../shared/xds/listener.ts';
import type { SideTelemetry } from './proxy-telemetry.ts';

const isTcpProxy = ({ name }: { name: string }) => name === 'envoy.filters.network.tcp_proxy';

/** @param logged connections that find no filter chain are logged, as Istio does where it captures or receives traffic */
export function observed(
  listener: Listener,
  { listenerLogs, metadata }: Pick<SideTelemetry, 'listenerLogs' | 'metadata'>,
  logged: boolean,
): Listener {
  const { filterChains = [], defaultFilterChain } = listener;
  const chains = defaultFilterChain ? [...filterChains, defaultFilterChain] : filterChains;
  const measured = metadata !== undefined && chains.some(({ filters }) => filters?.some(isTcpProxy));
  const logs = logged ? listenerLogs : [];
  if (!measured && logs.length === 0) return listener;
  return { ...listener, ...(measured && { metadata }), ...(logs.length > 0 && { accessLog: [...logs] }) };
}
