/** envoy.filters.network.connection_limit: at most so many connections of one filter chain at a time. */
import type { ConnectionLimit } from '../../shared/xds/listener.ts';
import type { Connection } from '../runtime/runtime.ts';
import type { Stats } from '../telemetry/stats.ts';
import type { Denied } from './connection-filter.ts';

const NO_DETAILS: Denied = { details: '' };

/** @returns checks a connection; an accepted one counts until it is gone @throws Error on a limit of 0 */
export function compileConnectionLimit(
  config: ConnectionLimit,
  stats: Stats,
): (connection: Connection | undefined) => Denied | undefined {
  const { maxConnections } = config;
  if (maxConnections < 1) throw new Error('connection_limit: maxConnections must be at least 1');
  if (config.runtimeEnabled?.defaultValue === false) return () => undefined;
  const scope = stats.scope('connection_limit', config.statPrefix);
  const limited = scope.counter('limited_connections');
  const active = scope.gauge('active_connections');
  // Chains may share their statistics, but never their limit.
  let open = 0;
  return (connection) => {
    // A connection that changes its filter chain was counted when it came.
    if (!connection) return undefined;
    if (open >= maxConnections) {
      limited.value++;
      return NO_DETAILS;
    }
    open++;
    active.value++;
    const { gone } = connection;
    connection.gone = () => {
      open--;
      active.value--;
      gone?.();
    };
    return undefined;
  };
}
