/** Envoy's statistics of one tcp_proxy (`tcp.<stat prefix>.…`). */
import type { Stat, Stats } from '../telemetry/stats.ts';

export class TcpStats {
  readonly total: Stat;
  readonly received: Stat;
  readonly sent: Stat;
  readonly noRoute: Stat;
  readonly idleTimeout: Stat;
  readonly maxDuration: Stat;
  readonly active: Stat;

  constructor(stats: Stats, prefix: string) {
    const scope = stats.scope('tcp', prefix);
    this.total = scope.counter('downstream_cx_total');
    this.received = scope.counter('downstream_cx_rx_bytes_total');
    this.sent = scope.counter('downstream_cx_tx_bytes_total');
    this.noRoute = scope.counter('downstream_cx_no_route');
    this.idleTimeout = scope.counter('idle_timeout');
    this.maxDuration = scope.counter('max_downstream_connection_duration');
    this.active = scope.gauge('downstream_cx_active');
  }
}
