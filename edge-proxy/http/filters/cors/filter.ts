/** envoy.filters.http.cors: answers preflights and marks responses, by the route's policy. */
import type { LocalReply, RequestContext } from '../../stream.ts';
import type { FilterUse } from '../definition.ts';
import { type FilterHooks, StateSlot } from '../hooks.ts';

export interface RouteCors {
  allowsOrigin(origin: string): boolean;
  /** Headers of the answer to a preflight, besides access-control-allow-origin. */
  readonly preflightHeaders: Readonly<Record<string, string>>;
  readonly allowCredentials: boolean;
  /** '' is none. */
  readonly exposeHeaders: string;
  readonly forwardNotMatchingPreflights: boolean;
}

export function createCorsFilter(policyOf: FilterUse<RouteCors | undefined>['routeConfig']): FilterHooks {
  /** As in Envoy: what the request was when it passed this filter says what the response is marked with. */
  const allowed = new StateSlot<{ readonly cors: RouteCors; readonly origin: string }>();
  return {
    onRequestHead: (context) => {
      const { request } = context;
      const cors = policyOf(request);
      const origin = request.headers.get('origin');
      if (!cors || !origin) return undefined;
      const allows = cors.allowsOrigin(origin);
      if (allows) context.set(allowed, { cors, origin });
      if (!isPreflight(request)) return undefined;
      if (allows) return preflight(cors, origin);
      return cors.forwardNotMatchingPreflights ? undefined : { status: 200, body: '', details: 'cors_response' };
    },
    onResponseHead: (context, { headers }) => {
      const found = context.get(allowed);
      if (!found) return undefined;
      const { cors, origin } = found;
      headers.set('access-control-allow-origin', origin);
      if (cors.allowCredentials) headers.set('access-control-allow-credentials', 'true');
      if (cors.exposeHeaders !== '') headers.set('access-control-expose-headers', cors.exposeHeaders);
      return undefined;
    },
  };
}

function isPreflight(request: RequestContext): boolean {
  return request.method === 'OPTIONS' && !!request.headers.get('access-control-request-method');
}

function preflight(cors: RouteCors, origin: string): LocalReply {
  return {
    status: 200,
    body: '',
    details: 'cors_response',
    headers: { 'access-control-allow-origin': origin, ...cors.preflightHeaders },
  };
}
