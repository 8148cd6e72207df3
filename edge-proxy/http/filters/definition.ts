/**
 * What a filter's folder exports: the messages it is configured by, and how they become hooks. The registry
 * (`index.ts`) lists the definitions; nothing else names a filter.
 */
import type { z } from 'zod';
import type { ClockAndRandom } from '../../runtime/runtime.ts';
import type { OwnNode } from '../../telemetry/own-node.ts';
import type { WorkloadLookup } from '../../upstream/workload-metadata.ts';
import type { CancelSignal } from '../request/cancellation.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { SideCall } from '../side-call/side-call.ts';
import type { ClusterCounters } from './grpc-method-stats.ts';
import type { FilterHooks } from './hooks.ts';

/** What filters are given besides their config. */
export interface FilterEnv extends Pick<ClockAndRandom, 'now' | 'random'> {
  /** Of this proxy's certificate; undefined where a static file gives it none. */
  readonly trustDomain?: string | undefined;
  /** The xDS node of this proxy, and its workload; undefined where it has none. */
  readonly own?: OwnNode | undefined;
  /** The workloads behind the endpoints that this proxy knows; undefined where they are not looked up. */
  readonly workloads?: WorkloadLookup | undefined;
  /** @param ms milliseconds. Ends early, without an error, when the signal is aborted. */
  sleep(ms: number, signal: CancelSignal): Promise<void>;
  /** Where counters of clusters are kept; absent: nothing reads them. */
  readonly stats?: ClusterCounters | undefined;
  /** A counter of the connection manager, by its name behind the manager's; absent: nothing reads them. */
  readonly managerCounter?: ((name: string) => { value: number }) | undefined;
  /** Writes a line to the log of the process, the same one once; absent: nothing reads it. */
  readonly warn?: ((line: string) => void) | undefined;
  /** Asks other services. */
  readonly call: SideCall;
}

/** A message and its path in the config, for errors. */
export interface Located<Message> {
  readonly config: Message;
  readonly path: string;
}

/** Per-route configuration of a filter (typed_per_filter_config). */
export interface RouteConfigDefinition<Message, Route> {
  /** The full name of Envoy's message. */
  readonly type: string;
  readonly schema: z.ZodType<Message>;
  /**
   * @param levels where it is configured: weighted cluster, route, virtual host, route configuration, in this order; at
   *   least one. Most filters read the first alone: the most specific wins.
   * @throws ConfigError naming the field
   */
  compile(levels: readonly [Located<Message>, ...Located<Message>[]]): Route;
}

/** What one filter of a listener is made from. */
export interface FilterUse<Route> {
  /** As the listener calls it. */
  readonly name: string;
  readonly env: FilterEnv;
  /** What the request's route configures for this filter, by its name in the listener; undefined: nothing. */
  readonly routeConfig: (request: RequestContext) => Route | undefined;
}

export interface TypedFilterDefinition<Message, RouteMessage, Route> {
  /** The full name of Envoy's message. */
  readonly type: string;
  readonly schema: z.ZodType<Message>;
  /** Absent: the filter has no per-route configuration, and one is refused. */
  readonly route?: RouteConfigDefinition<RouteMessage, Route>;
  /**
   * @returns undefined where there is nothing to do per request
   * @throws ConfigError naming the field
   */
  create(config: Message, use: FilterUse<Route>): FilterHooks | undefined;
  /** It forwards the request: the last of every list, and no other. */
  readonly terminal?: boolean;
}

/** A definition whose own types are forgotten, so that a list can hold several. */
export type FilterDefinition = TypedFilterDefinition<unknown, unknown, unknown>;

export function defineFilter<Message, RouteMessage = never, Route = never>(
  definition: TypedFilterDefinition<Message, RouteMessage, Route>,
): FilterDefinition {
  // Sound because config reaches `create` and `compile` only through the definition's own schemas.
  return definition as unknown as FilterDefinition;
}
