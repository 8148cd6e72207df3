/** What the router of a connection manager is given: compiled once, shared by its requests. */
import type { Clock } from '../../runtime/runtime.ts';
import type { ClusterSet } from '../../upstream/cluster.ts';
import type { StreamSource } from '../../upstream/stream-client.ts';
import type { RequestEvents } from '../request-observer.ts';
import type { TimerPool } from '../timers.ts';

export interface RouterConfig {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly clusters: ClusterSet;
  readonly upstreams: StreamSource;
  readonly timers: TimerPool;
  /** Of a request and its attempts. */
  readonly events: RequestEvents;
  readonly suppressEnvoyHeaders: boolean;
  /** The upstream's `100 Continue` is passed on, and none is made here. */
  readonly proxyContinue: boolean;
  readonly onInternalError: (error: unknown) => void;
}
