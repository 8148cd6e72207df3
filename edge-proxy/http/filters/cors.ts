/** envoy.filters.http.cors: answers preflights and marks responses, by the route's policy. */
import type { RouteCors, RouteEntry } from '../route-table.ts';
import type { HeadFilter, LocalReply, RequestContext } from '../stream.ts';

export interface CorsEnv {
  route(request: RequestContext): RouteEntry | null;
}

export function createCorsFilter(env: CorsEnv): HeadFilter {
  return {
    name: 'envoy.filters.http.cors',
    onRequest: (request) => {
      const cors = env.route(request)?.cors;
      const origin = request.headers.get('origin');
      if (!cors || !origin || !isPreflight(request)) return undefined;
      if (cors.allowsOrigin(origin)) return preflight(cors, origin);
      return cors.forwardNotMatchingPreflights ? undefined : { status: 200, body: '', details: 'cors_response' };
    },
    onResponse: (request, _status, headers) => {
      const cors = request.route?.cors;
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
