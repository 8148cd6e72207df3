/** envoy.filters.http.fault: delays and aborts that the route asks for. */
import type { LocalReply } from '../../stream.ts';
import type { FilterEnv, FilterUse } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';

export interface RouteFault {
  readonly delayMs: number;
  /** 0..1 */
  readonly delayShare: number;
  readonly abortStatus: number;
  readonly abortShare: number;
}

export function createFaultFilter(
  env: Pick<FilterEnv, 'random' | 'sleep'>,
  routeConfig: FilterUse<RouteFault>['routeConfig'],
): FilterHooks {
  // Few statuses exist: each reply is made once.
  const replies = new Map<number, LocalReply>();
  const reply = (status: number): LocalReply => {
    const known = replies.get(status);
    if (known) return known;
    const made: LocalReply = { status, body: 'fault filter abort', details: 'fault_filter_abort', flag: 'FI' };
    replies.set(status, made);
    return made;
  };
  return {
    onRequestHead: (context) => {
      const { request } = context;
      const fault = routeConfig(request);
      if (!fault) return undefined;
      const abort = (): LocalReply | undefined =>
        fault.abortShare > 0 && env.random() < fault.abortShare ? reply(fault.abortStatus) : undefined;
      if (fault.delayMs <= 0 || env.random() >= fault.delayShare) return abort();
      request.flags.push('DI');
      return env.sleep(fault.delayMs, context.signal).then(abort);
    },
  };
}
