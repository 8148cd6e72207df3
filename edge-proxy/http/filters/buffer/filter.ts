/** envoy.filters.http.buffer: a request goes on when its body is whole, or is refused when that grows too long. */
import type { FilterHooks, Hold } from '../../stream.ts';
import type { FilterUse } from '../definition.ts';

/** What of a body may wait, in bytes, in the place of the filter's own limit; undefined: it is not kept at all. */
export interface RouteBuffer {
  readonly hold: Hold | undefined;
}

/** @param own where the route says nothing else */
export function createBufferFilter(own: Hold, routeConfig: FilterUse<RouteBuffer>['routeConfig']): FilterHooks {
  return {
    onRequest: (request) => {
      const override = routeConfig(request);
      return override ? override.hold : own;
    },
  };
}
