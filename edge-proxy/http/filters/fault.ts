/** envoy.filters.http.fault: delays and aborts that the route asks for. */
import type { RouteEntry } from '../route-table.ts';
import type { HeadFilter, LocalReply, RequestContext, Verdict } from '../stream.ts';

export interface FaultEnv {
  /** [0, 1) */
  random(): number;
  sleep(ms: number): Promise<void>;
  /** The request's route, looked up once. */
  route(request: RequestContext): RouteEntry | null;
}

export function createFaultFilter(env: FaultEnv): HeadFilter {
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
    name: 'envoy.filters.http.fault',
    onRequest: (request): Verdict | Promise<Verdict> => {
      const fault = env.route(request)?.fault;
      if (!fault) return undefined;
      const abort = (): Verdict =>
        fault.abortShare > 0 && env.random() < fault.abortShare ? reply(fault.abortStatus) : undefined;
      if (fault.delayMs <= 0 || env.random() >= fault.delayShare) return abort();
      request.flags.push('DI');
      return env.sleep(fault.delayMs).then(abort);
    },
  };
}
