/** envoy.filters.http.buffer: a request goes on when its body is whole, or is refused when that grows too long. */
import type { RouteEntry } from '../route-table.ts';
import type { Hold, HttpFilter, RequestContext } from '../stream.ts';

/**
 * @param own where the route says nothing else
 * @param route the request's route, looked up once
 */
export function createBufferFilter(own: Hold, route: (request: RequestContext) => RouteEntry | null): HttpFilter {
  return {
    name: 'envoy.filters.http.buffer',
    onRequest: (request) => {
      const override = route(request)?.buffer;
      return override ? override.hold : own;
    },
  };
}
