/**
 * The form of routes between what users write and what is compiled. Readers (`readers.ts`) fill it, each from kinds of its
 * own; `control/compile` reads nothing else of routes. Names in it are full names, so that it means the same everywhere.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import type {
  HttpRoute,
  TcpRoute,
  TlsRoute,
  HttpMatchRequest as VirtualServiceMatch,
} from '../../../shared/resources/schema/virtual-service.ts';

/** Where a form comes from. */
export interface RouteOrigin {
  /** As it was written: its kind, namespace and name are used in messages. */
  readonly resource: Resource;
  readonly namespace: string;
  /** The resource in metadata of routes, as Istio has it: `/apis/<group>/<version>/namespaces/<namespace>/<kind>/<name>`. */
  readonly config: string;
}

/**
 * What happens where several forms name one host.
 * - `istio`: a sidecar uses the first alone; a gateway joins their rules, rules that match everything last.
 * - `gateway-api`: the rules of all are joined, the most specific match first, then those of the oldest route, then by
 *   `namespace/name` (gateway.networking.k8s.io HTTPRouteRule). Each rule has at most one match.
 *
 * Forms with different precedence are not joined with each other: they follow each other as `istio` says.
 */
export type RoutePrecedence = 'istio' | 'gateway-api';

export interface RouteForm {
  readonly origin: RouteOrigin;
  readonly precedence: RoutePrecedence;
  /** The hosts that clients call: full names, also `*.example.com` and `*`. Never empty. */
  readonly hosts: readonly string[];
  /** Where the rules apply: `mesh`, for sidecars, and Gateways as `namespace/name`. Never empty. */
  readonly gateways: readonly string[];
  /** The namespaces that see it: `*`, `.` or names. Never empty. */
  readonly exportTo: readonly string[];
  readonly http: readonly HttpRule[];
  readonly tcp: readonly TcpRule[];
  readonly tls: readonly TlsRule[];
  /** Rules that are left out, and why: a field path and a sentence each. */
  readonly withoutEffect: readonly string[];
}

/** What a request must be. Gateways are full names. */
export type HttpMatch = VirtualServiceMatch;

/** What happens to requests. The words are VirtualService's; hosts of destinations are full names. */
export interface HttpRule extends Omit<HttpRoute, 'delegate'> {
  /** The resource that has the rule; of a form that was joined, one of several. */
  readonly origin: RouteOrigin;
  /** A prefix in `match.uri` ends at the end of a path segment: `/a` matches `/a/b`, not `/ab`. */
  readonly wholeSegments?: boolean;
  /** Why the rule cannot be put into effect: requests that it matches are answered with 500. */
  readonly violation?: string;
}

/** What happens to connections; hosts of destinations and gateways of matches are full names. */
export type TcpRule = TcpRoute;
export type TlsRule = TlsRoute;
