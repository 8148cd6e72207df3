/** The filters that a proxy knows, by the types of their messages. */
import type { FilterDefinition } from '../../http/filters/definition.ts';

export interface FilterRegistry {
  /** By the type of a listener's configuration. */
  readonly byType: ReadonlyMap<string, FilterDefinition>;
  /** By the type of a route's configuration, where the filter has one. */
  readonly byRouteType: ReadonlyMap<string, FilterDefinition>;
}

export function filterRegistry(definitions: readonly FilterDefinition[]): FilterRegistry {
  return {
    byType: new Map(definitions.map((definition) => [definition.type, definition])),
    byRouteType: new Map(
      definitions.flatMap((definition) => (definition.route ? [[definition.route.type, definition] as const] : [])),
    ),
  };
}
