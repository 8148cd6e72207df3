/** Access logs of connection managers, tcp_proxies and listeners, by meaning: which lines are written where. */
import { type Json, list, object, stripEmpty } from './golden-json.ts';

export function logMeaning(logs: unknown): unknown {
  return list(logs).map((log) => {
    const { path, logFormat } = object(log['typedConfig']);
    const { jsonFormatOptions: _, ...format } = object(logFormat);
    return { filter: filterMeaning(log['filter']), path, format: stripEmpty(format) };
  });
}

/** The one type of extension that there is: its name decorates. */
function filterMeaning(filter: unknown): unknown {
  const { extensionFilter, andFilter, ...rest } = object(filter);
  if (extensionFilter) return { cel: object(object(extensionFilter)['typedConfig'])['expression'] };
  if (andFilter) return { and: list(object(andFilter)['filters']).map(filterMeaning) };
  return stripEmpty(rest as Json);
}
