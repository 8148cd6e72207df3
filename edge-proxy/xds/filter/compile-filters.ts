/** The HTTP filters of a connection manager, xDS -> hooks, in the listener's order. */
import type { HttpFilter as XdsHttpFilter } from '../../../shared/xds/http-connection-manager.ts';
import { FILTER_MESSAGES } from '../../../shared/xds/http-filters.ts';
import { messageName, unsupportedType } from '../../../shared/xds/message.ts';
import { ConfigError } from '../../config-error.ts';
import type { FilterDefinition, FilterEnv, FilterUse } from '../../http/filters/definition.ts';
import type { HttpFilter } from '../../http/filters/hooks.ts';
import { readMessage } from '../read-message.ts';
import type { FilterRegistry } from './filter-registry.ts';

type Definitions = FilterRegistry['byType'];

/**
 * @throws ConfigError where a filter cannot run as configured, or the router is not the last
 */
export function compileHttpFilters(
  filters: readonly XdsHttpFilter[],
  env: FilterEnv,
  { byType: known }: FilterRegistry,
): HttpFilter[] {
  // Each filter first: an unsupported one is named before the order is looked at.
  const compiled = filters.flatMap((filter, i) => {
    try {
      return compileFilter(filter, env, known) ?? [];
    } catch (error) {
      const inner = error as Error;
      throw new ConfigError(`httpFilters[${i}] (${filter.name})`, inner.message);
    }
  });
  const terminalAt = filters.findIndex((filter) => definitionOf(filter, known)?.terminal);
  if (filters.length > 0 && terminalAt !== filters.length - 1)
    throw new ConfigError('httpFilters', 'the last filter must be the router, and no other');
  return compiled;
}

function definitionOf({ typedConfig }: XdsHttpFilter, known: Definitions): FilterDefinition | undefined {
  return known.get(messageName(typedConfig['@type']));
}

/** Undefined: nothing to do per request. */
function compileFilter(filter: XdsHttpFilter, env: FilterEnv, known: Definitions): HttpFilter | undefined {
  const { name, disabled = false, typedConfig } = filter;
  const definition = definitionOf(filter, known);
  if (!definition)
    throw new ConfigError('typedConfig', unsupportedType(messageName(typedConfig['@type']), [...known.keys()]));
  if (disabled && definition.terminal) throw new ConfigError('disabled', 'the router cannot be disabled');
  const config = readMessage(typedConfig, definition.schema, FILTER_MESSAGES, 'typedConfig');
  const hooks = definition.create(config, { name, env, routeConfig: routeConfigOf(name, definition) });
  return hooks && { ...hooks, name, disabled };
}

/** What the request's route configures for the filter of this name; the configuration of another filter is none. */
function routeConfigOf(name: string, definition: FilterDefinition): FilterUse<unknown>['routeConfig'] {
  return (request) => {
    const override = request.route?.overrides?.get(name);
    return override?.filterType === definition.type ? override.value : undefined;
  };
}
