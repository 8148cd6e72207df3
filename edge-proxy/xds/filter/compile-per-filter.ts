/** typed_per_filter_config of a route and what stands around it -> what the filters find in the route. */
import {
  ROUTE_MESSAGES,
  type RouteFilterConfig,
  type TypedPerFilterConfig,
  WRAPPER_TYPE,
} from '../../../shared/xds/http-filters.ts';
import { type AnyMessage, messageName, unsupportedType } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import type { FilterDefinition, Located } from '../../http/filters/definition.ts';
import type { FilterOverride, FilterOverrides } from '../../http/routing/route-table.ts';
import { readMessage } from '../read-message.ts';
import type { FilterRegistry } from './filter-registry.ts';

export interface OverrideLevel {
  readonly path: string;
  readonly config: TypedPerFilterConfig | undefined;
}

/** What one level configures for one filter. */
interface Entry {
  readonly disabled: boolean;
  /** Undefined: it only enables or disables. */
  readonly definition: FilterDefinition | undefined;
  readonly message: Located<unknown> | undefined;
}

/**
 * As in Envoy: the most specific level that names a filter decides whether it runs, the most specific that configures
 * it gives its configuration (a filter may read the others, too).
 * @param levels most specific first: weighted cluster, route, virtual host, route configuration
 * @returns undefined where no level names a filter
 * @throws ConfigError naming the field
 */
export function compileOverrides(
  levels: readonly OverrideLevel[],
  filters: FilterRegistry,
): FilterOverrides | undefined {
  const entries = new Map<string, Entry[]>();
  for (const { path, config } of levels) {
    for (const [name, any] of Object.entries(config ?? {})) {
      const entry = readEntry(any, `${path}.typedPerFilterConfig["${name}"]`, filters);
      const known = entries.get(name);
      if (known) known.push(entry);
      else entries.set(name, [entry]);
    }
  }
  if (entries.size === 0) return undefined;
  return new Map([...entries].map(([name, found]) => [name, compileEntries(found)]));
}

function compileEntries(entries: readonly Entry[]): FilterOverride {
  const disabled = entries[0]!.disabled;
  const definition = entries.find((entry) => entry.definition)?.definition;
  // Of another filter's type under the same name: as in Envoy, the most specific one counts.
  const [first, ...others] = entries.flatMap((entry) =>
    entry.definition === definition && entry.message ? [entry.message] : [],
  );
  return {
    disabled,
    filterType: definition?.type ?? '',
    value: first && definition?.route?.compile([first, ...others]),
  };
}

function readEntry(any: AnyMessage, path: string, filters: FilterRegistry): Entry {
  if (messageName(any['@type']) !== WRAPPER_TYPE) return { disabled: false, ...readConfig(any, path, filters) };
  const { disabled = false, config } = any as RouteFilterConfig;
  // As in Envoy, fields beside `disabled: true` are ignored.
  if (disabled) return { disabled, definition: undefined, message: undefined };
  if (!config) throw new ConfigError(path, 'must have config or disabled: true');
  if (config['@type'] === '') return { disabled, definition: undefined, message: undefined };
  return { disabled, ...readConfig(config, `${path}.config`, filters) };
}

function readConfig(
  any: AnyMessage,
  path: string,
  { byRouteType }: FilterRegistry,
): Pick<Entry, 'definition' | 'message'> {
  const type = messageName(any['@type']);
  const definition = byRouteType.get(type);
  if (!definition?.route) throw new ConfigError(path, unsupportedType(type, [...byRouteType.keys(), WRAPPER_TYPE]));
  const config = readMessage(any, definition.route.schema, ROUTE_MESSAGES, path);
  return { definition, message: { config, path } };
}
