/**
 * Istio's metrics, by meaning. For connections istiod has a network filter, compile the metadata of the listener: an Envoy
 * cannot pass over a network filter that it does not know.
 */
import { type Json, list, object, stripEmpty } from './golden-json.ts';

const STATS = 'istio.stats';
const METRICS = 10;

/** Where every metric is dropped istiod leaves the filter out. */
function meaning(config: unknown): unknown {
  const { '@type': _, metrics, ...rest } = object(config);
  const dropped = list(metrics).filter(
    ({ drop, dimensions, tagsToRemove }) => drop === true && !dimensions && !tagsToRemove,
  );
  if (config === undefined || dropped.length === METRICS) return undefined;
  return { ...object(stripEmpty(rest)), metrics: stripEmpty(list(metrics)) };
}

/** Of a connection manager. */
export function statsMeaning(manager: unknown): unknown {
  const filter = list(object(manager)['httpFilters']).find(({ name }) => name === STATS);
  const config = object(filter?.['typedConfig']);
  return filter && meaning(config['value'] ?? config);
}

/** Of the connections of a listener that are not HTTP. */
export function connectionStatsMeaning(listener: Json): unknown {
  const own = object(object(listener['metadata'])['filterMetadata'])[STATS];
  if (own !== undefined) return meaning(own);
  const chains = [...list(listener['filterChains']), object(listener['defaultFilterChain'])];
  const filter = chains.flatMap((chain) => list(chain['filters'])).find(({ name }) => name === STATS);
  return filter && meaning(filter['typedConfig']);
}
