/** What the exchanges of a connection manager are given: compiled once. */
import type { PathNormalization } from '../../../shared/match/path.ts';
import type { Connection } from '../../runtime/runtime.ts';
import type { FilterChain } from '../filters/chain.ts';
import type { Decorator } from '../headers/decorator.ts';
import type { HeaderTreatment } from '../headers/forward-headers.ts';
import type { DownstreamInfo } from '../request/request-context.ts';
import type { RouterConfig } from '../router/router-config.ts';
import type { RouteTable } from '../routing/route-table.ts';
import type { LocalReplyMap } from './local-reply-map.ts';

export interface ExchangeConfig {
  readonly routes: () => RouteTable | undefined;
  readonly filters: FilterChain;
  readonly headers: HeaderTreatment;
  /** Undefined: tracing is not configured. */
  readonly decorator: Decorator | undefined;
  /** Changes answers made here; undefined: none. */
  readonly mapReply: LocalReplyMap | undefined;
  readonly normalization: PathNormalization;
  /** Upgrades that every route may serve, lower-case. */
  readonly upgrades: ReadonlySet<string>;
  /** Bytes of a request body kept for sending it again, or while it cannot be sent yet. */
  readonly bufferLimit: number;
  /** Milliseconds; 0: none. */
  readonly streamIdleMs: number;
  readonly requestMs: number;
  /** The longest a request and its response may take. */
  readonly maxStreamMs: number;
  /** The stream idle timeout under the present load. */
  readonly scaledIdleMs: (ms: number) => number;
  /** Serves HTTP in the tunnel of a CONNECT whose virtual host has no route for it; undefined: such a CONNECT is answered 404. */
  readonly serveTunnel?: ((connection: Connection, downstream: DownstreamInfo) => void) | undefined;
  readonly onInternalError: (error: unknown) => void;
  readonly router: RouterConfig;
}
