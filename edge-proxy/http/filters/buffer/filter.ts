/** envoy.filters.http.buffer: a request continues when its body is whole, or is refused when that is too long. */
import type { FilterUse } from '../definition.ts';
import type { BufferBody, FilterHooks } from '../hooks.ts';

/** What of a body may wait in the place of the filter's own limit; undefined: it is not kept at all. */
export interface RouteBuffer {
  readonly buffer: BufferBody | undefined;
}

/** @param own where the route says nothing else */
export function createBufferFilter(own: BufferBody, routeConfig: FilterUse<RouteBuffer>['routeConfig']): FilterHooks {
  return {
    onRequestHead: (context) => {
      if (context.requestBody) return undefined;
      const override = routeConfig(context.request);
      return override ? override.buffer : own;
    },
  };
}
