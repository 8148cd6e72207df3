/** What compiling a RouteConfiguration gives: virtual-host and route look-up, and per route everything precomputed. */
import type { Hash64 } from '../../upstream/balancing/xx-hash.ts';
import type { PendingFetch } from '../../upstream/fetches.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { RequestContext } from '../request/request-context.ts';
import type { RouteTimeouts, StreamDuration } from './request-timeouts.ts';
import type { RetryPlan } from './retry-plan.ts';

export interface RouteTable {
  readonly name: string;
  /** Headers, in lower case, that only internal clients may send; undefined: none. */
  readonly internalOnly?: readonly string[] | undefined;
  /** Envoy's rules: exact host, longest suffix wildcard, longest prefix wildcard, `*`; then the first matching route. */
  match(request: RequestContext): RouteEntry | null;
  /**
   * Where `match` found nothing: begins or joins the fetch of a host that is known and not here. Undefined: there is none.
   * @param authority of the request
   */
  readonly fetch?: (authority: string) => PendingFetch | undefined;
}

export interface RouteEntry {
  readonly name: string;
  /** The virtual host's name. */
  readonly virtualHost: string;
  readonly action: ForwardAction | RedirectAction | DirectAction;
  readonly includeAttemptCount: boolean;
  /** What tracing calls its requests, for the next proxy; absent: it is not passed on. */
  readonly operation?: string;
  /** Its requests are counted under this name, too; undefined: they are not. */
  readonly statPrefix?: string;
  /** Per-route configuration of filters; undefined: none. */
  readonly overrides?: FilterOverrides | undefined;
}

/** What a route says to one filter of the listener. */
export interface FilterOverride {
  /** The filter does not run. */
  readonly disabled: boolean;
  /** Which filter's configuration `value` is, by the type of its message; '': the route only enables or disables. */
  readonly filterType: string;
  /** What that filter's definition compiled. */
  readonly value: unknown;
}

/** By the filter's name in the listener. */
export type FilterOverrides = ReadonlyMap<string, FilterOverride>;

/** @param setCookie takes a whole Set-Cookie value for the response */
export type RequestHash = (request: RequestContext, setCookie: (value: string) => void) => Hash64 | undefined;

export interface ForwardAction extends RouteTimeouts {
  readonly kind: 'forward';
  /** Picks among weighted clusters (`random` in [0,1)); one object per cluster, made at compile time. */
  pick(request: RequestContext, random: number): ClusterChoice;
  readonly idleTimeoutMs: number | undefined;
  readonly retry: RetryPlan | undefined;
  readonly mirrors: readonly { readonly cluster: string; readonly share: number; readonly keepHost: boolean }[];
  /**
   * Changes request.path, request.authority (prefix, regex and host rewrites) before sending.
   * @returns whether the path was rewritten, be it the same
   */
  rewrite(request: RequestContext): boolean;
  /** No operation or rewrite of the route changes the head; absent: one may. */
  readonly keepsHead?: boolean;
  readonly upgrades: ReadonlySet<string> | undefined;
  /** A CONNECT ends here: its bytes go to the endpoint as they are. */
  readonly terminatesConnect?: boolean;
  /** The chosen endpoint's host name becomes the host; undefined: it does not. */
  readonly autoHost?: { readonly appendForwardedHost: boolean } | undefined;
  /** Status where the cluster does not exist; default 503. */
  readonly clusterNotFound?: number;
  readonly streamDuration: StreamDuration | undefined;
  /** Routing priority HIGH: circuit breakers and connections of its own. */
  readonly highPriority: boolean;
  /** What RING_HASH and MAGLEV choose by. */
  readonly hash?: RequestHash | undefined;
}

/** One destination with its header operations (route's, virtual host's and table's already folded in). */
export interface ClusterChoice {
  readonly cluster: string;
  editRequest(request: RequestContext): void;
  editResponse(request: RequestContext, headers: HeaderMap): void;
}

export interface BodyFormatter {
  readonly contentType: string;
  format(request: RequestContext, nowMs: number): string;
}

export interface RedirectAction {
  readonly kind: 'redirect';
  readonly status: number;
  location(request: RequestContext): string;
  editResponse(request: RequestContext, headers: HeaderMap): void;
}

export interface DirectAction {
  readonly kind: 'direct';
  readonly status: number;
  readonly body: string;
  /** Writes the body from a format; undefined: it is `body`. */
  readonly format?: BodyFormatter | undefined;
  editResponse(request: RequestContext, headers: HeaderMap): void;
}
