/** envoy.filters.http.cors: answers preflights and marks responses, by the route's policy. */
import type { HeadHooks, LocalReply, RequestContext } from '../../stream.ts';
import type { FilterUse } from '../definition.ts';

export interface RouteCors {
  allowsOrigin(origin: string): boolean;
  /** Headers of the answer to a preflight, besides access-control-allow-origin. */
  readonly preflightHeaders: Readonly<Record<string, string>>;
  readonly allowCredentials: boolean;
  /** '' is none. */
  readonly exposeHeaders: string;
  readonly forwardNotMatchingPreflights: boolean;
}

export function createCorsFilter(policyOf: FilterUse<RouteCors | undefined>['routeConfig']): HeadHooks {
  return {
    onRequest: (request) => {
      const cors = policyOf(request);
      const origin = request.headers.get('origin');
      if (!cors || !origin || !isPreflight(request)) return undefined;
      if (cors.allowsOrigin(origin)) return preflight(cors, origin);
      return cors.forwardNotMatchingPreflights ? undefined : { status: 200, body: '', details: 'cors_response' };
    },
    onResponse: (request, _status, headers) => {
      const cors = policyOf(request);
      const origin = request.headers.get('origin');
      if (!cors || !origin || !cors.allowsOrigin(origin)) return;
      headers.set('access-control-allow-origin', origin);
      if (cors.allowCredentials) headers.set('access-control-allow-credentials', 'true');
      if (cors.exposeHeaders !== '') headers.set('access-control-expose-headers', cors.exposeHeaders);
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
