/** What compiling a RouteConfiguration gives: virtual-host and route look-up, and per route everything precomputed. */
import type { Hash64 } from '../upstream/xx-hash.ts';
import type { HeaderMap } from './message/header-map.ts';
import type { RouteTimeouts, StreamDuration } from './router/request-timeouts.ts';
import type { RetryPlan } from './router/retry-plan.ts';
import type { Hold, LocalReply, RequestContext } from './stream.ts';

export interface RouteTable {
  readonly name: string;
  /** Headers, in lower case, that only internal clients may send; undefined: none. */
  readonly internalOnly?: readonly string[] | undefined;
  /** Envoy's rules: exact host, longest suffix wildcard, longest prefix wildcard, `*`; then the first matching route. */
  match(request: RequestContext): RouteEntry | null;
}

export interface RouteEntry {
  readonly name: string;
  /** The virtual host's name. */
  readonly virtualHost: string;
  readonly action: ForwardAction | RedirectAction | DirectAction;
  /** Compiled fault of this route, judged by the fault filter. */
  readonly fault: RouteFault | undefined;
  readonly includeAttemptCount: boolean;
  /** Compiled CORS policy of this route, enforced by the cors filter. */
  readonly cors?: RouteCors | undefined;
  /** Compiled override of the rbac filter. */
  readonly rbac?: RouteRbac | undefined;
  /** Compiled override of the buffer filter. */
  readonly buffer?: RouteBuffer | undefined;
}

/** What judges in the place of the filter's own rules; undefined: nothing does. */
export interface RouteRbac {
  readonly judge: ((request: RequestContext) => LocalReply | undefined) | undefined;
}

/** What of a body may wait, in bytes, in the place of the filter's own limit; undefined: it is not kept at all. */
export interface RouteBuffer {
  readonly hold: Hold | undefined;
}

export interface RouteCors {
  allowsOrigin(origin: string): boolean;
  /** Headers of the answer to a preflight, besides access-control-allow-origin. */
  readonly preflightHeaders: Readonly<Record<string, string>>;
  readonly allowCredentials: boolean;
  /** '' is none. */
  readonly exposeHeaders: string;
  readonly forwardNotMatchingPreflights: boolean;
}

export interface RouteFault {
  readonly delayMs: number;
  /** 0..1 */
  readonly delayShare: number;
  readonly abortStatus: number;
  readonly abortShare: number;
}

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
   * @returns whether the path was written anew, be it the same
   */
  rewrite(request: RequestContext): boolean;
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
