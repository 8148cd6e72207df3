/** What an HTTP connection manager is built from: compiled config and the proxy's shared parts, never raw resources. */
import type { HttpConnectionManager } from '../../../shared/xds/http-connection-manager.ts';
import type { OverloadState } from '../../overload/overload-state.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { ClusterSet } from '../../upstream/cluster.ts';
import type { HttpFilter } from '../filters/hooks.ts';
import type { RequestObserver } from '../request/request-observer.ts';
import type { RouteTable } from '../routing/route-table.ts';
import type { HttpStats } from './http-stats.ts';
import type { OpenCodec } from './session.ts';

export interface ConnectionManagerOptions {
  readonly config: HttpConnectionManager;
  /** The current table; undefined while its RDS has not arrived (404 NR). Read once per request. */
  readonly routes: () => RouteTable | undefined;
  readonly filters: readonly HttpFilter[];
  /**
   * It is the sidecar's HTTP proxy: a CONNECT to a virtual host without a route for it is served here, as a connection of HTTP.
   * `filters` admit clients: they run before the others, and not for requests in such a tunnel.
   */
  readonly httpProxy?: { readonly filters: readonly HttpFilter[] } | undefined;
  readonly clusters: ClusterSet;
  readonly runtime: Runtime;
  /** It serves the clients of a workload, or of the mesh (`traffic_direction` OUTBOUND). Default: false. */
  readonly outbound?: boolean;
  /** Access log, metrics, spans; outlier detection is always there. */
  readonly observers: readonly RequestObserver[];
  /** Reports exceptions in this proxy, which a client sees as 500. */
  readonly onInternalError?: (error: unknown) => void;
  /** True: answer with `connection: close` and take no further request on a connection. */
  readonly draining: () => boolean;
  /** The overload manager's active actions. Default: none. */
  readonly overload?: OverloadState;
  readonly stats?: HttpStats;
  /** What connections speak. Default: by the codec_type of `config`. */
  readonly openCodec?: OpenCodec;
  /** Bytes of a request body that may be kept for sending it again, or wait for its first attempt. Default: 64 KiB. */
  readonly bufferLimit?: number | undefined;
}
