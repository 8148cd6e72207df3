/** Requests that outlive the policies under which they were admitted. */
import { FilterRun } from '../filters/filter-run.ts';
import type { ProxyRequest } from '../request/proxy-request.ts';
import type { ExchangeConfig } from './exchange-config.ts';

/**
 * Whether the filters of `config` would let a request pass that earlier ones let pass. It is judged by the head that those
 * saw, and by what they found out (claims of a token): nothing is asked of other services again.
 */
export function stillAllowed(request: ProxyRequest, config: Pick<ExchangeConfig, 'filters' | 'routes'>): boolean {
  const judged = request.asJudged();
  judged.route = config.routes()?.match(judged) ?? null;
  const run = new FilterRun(judged, config.filters.of(judged.route), config.routes);
  return run.filters.all.every((filter) => filter.stillAllows?.(run) ?? true);
}
