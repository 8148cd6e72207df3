/** envoy.filters.http.header_mutation: changes of headers by the listener, then by the levels of the route. */
import { HeaderMutation, HeaderMutationPerRoute } from '../../../../shared/xds/filters/header-mutation.ts';
import type { HeaderEdit } from '../../headers/compile-header-operations.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { RequestContext } from '../../request/request-context.ts';
import { defineFilter } from '../definition.ts';
import { compileMutations, type HeaderEdits } from './compile.ts';

/** Of the levels, the most specific first; the filter, which has a clock, makes them when they are first used. */
type RouteEdits = (now: () => number) => readonly HeaderEdits[];

const NO_LEVELS: readonly HeaderEdits[] = [];

export const headerMutation = defineFilter<HeaderMutation, HeaderMutationPerRoute, RouteEdits>({
  type: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  schema: HeaderMutation,
  route: {
    type: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
    schema: HeaderMutationPerRoute,
    compile: (levels) => {
      const make: RouteEdits = (now) => levels.map(({ config, path }) => compileMutations(config.mutations, path, now));
      make(() => 0);
      return make;
    },
  },
  create: ({ mutations, mostSpecificHeaderMutationsWins = false }, { env, routeConfig }) => {
    const own = compileMutations(mutations, '', env.now);
    const made = new WeakMap<RouteEdits, readonly HeaderEdits[]>();
    const levelsOf = (make: RouteEdits | undefined): readonly HeaderEdits[] => {
      if (!make) return NO_LEVELS;
      let levels = made.get(make);
      if (!levels) made.set(make, (levels = make(env.now)));
      return levels;
    };
    const edit = (side: keyof HeaderEdits, request: RequestContext, headers: HeaderMap) => {
      apply(own[side], request, headers);
      const levels = levelsOf(routeConfig(request));
      // Envoy's default: the most specific first, so that the least specific has the last word.
      for (let i = 0; i < levels.length; i++)
        apply(levels[mostSpecificHeaderMutationsWins ? levels.length - 1 - i : i]![side], request, headers);
    };
    return {
      onRequestHead: ({ request }) => edit('request', request, request.headers) as undefined,
      onResponseHead: ({ request }, { headers }) => edit('response', request, headers) as undefined,
    };
  },
});

function apply(edits: readonly HeaderEdit[], request: RequestContext, headers: HeaderMap): void {
  for (const edit of edits) edit(request, headers);
}
