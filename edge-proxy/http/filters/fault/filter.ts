/** envoy.filters.http.fault: delays and aborts that the route, else the listener, asks for. */
import type { HeaderMap } from '../../message/header-map.ts';
import type { LocalReply } from '../../request/request-context.ts';
import type { FilterEnv, FilterUse } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';

export interface FaultRule<What> {
  /** Of the requests, 0 to 1. */
  share(headers: HeaderMap): number;
  /** undefined: the request asks for none. */
  of(headers: HeaderMap): What | undefined;
}

export interface Fault {
  /** In milliseconds. */
  readonly delay: FaultRule<number> | undefined;
  readonly abort: FaultRule<LocalReply> | undefined;
}

/** @param general where the route configures nothing; as in Envoy, a route with an empty config injects nothing */
export function createFaultFilter(
  env: Pick<FilterEnv, 'random' | 'sleep'>,
  routeConfig: FilterUse<Fault>['routeConfig'],
  general: Fault,
): FilterHooks {
  const draw = <What>(rule: FaultRule<What> | undefined, headers: HeaderMap): What | undefined =>
    rule && env.random() < rule.share(headers) ? rule.of(headers) : undefined;
  return {
    onRequestHead: (context) => {
      const { request } = context;
      const fault = routeConfig(request) ?? general;
      const { headers } = request;
      const delayMs = draw(fault.delay, headers);
      if (delayMs === undefined) return draw(fault.abort, headers);
      request.flags.push('DI');
      return env.sleep(delayMs, context.signal).then(() => draw(fault.abort, headers));
    },
  };
}
