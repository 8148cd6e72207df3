/**
 * The conditions of x-envoy-retry-on and x-envoy-retry-grpc-on (envoyproxy.io: router filter), judged on responses and
 * resets. A route's plan is made once; the x-envoy-* headers of an internal client make one for their request.
 */
import { grpcCodeOf } from '../../../shared/match/grpc-status.ts';
import type { RetryHostRules } from '../../upstream/cluster.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { RequestContext } from '../request/request-context.ts';

const RETRIED = ['CANCELLED', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'INTERNAL', 'UNAVAILABLE'] as const;
/** By condition, as `deadline-exceeded`: the status. */
const GRPC_STATUS: Readonly<Record<string, string>> = Object.fromEntries(
  RETRIED.map((name) => [name.toLowerCase().replaceAll('_', '-'), String(grpcCodeOf(name))]),
);
const CONDITIONS = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'refused-stream',
  'envoy-ratelimited',
  'retriable-4xx',
  'retriable-status-codes',
  'retriable-headers',
]);

export const isRetryCondition = (token: string): boolean => CONDITIONS.has(token) || token in GRPC_STATUS;

export type ResponseMatch = (headers: HeaderMap) => boolean;

/** When the upstream says how long to wait (RetryPolicy.rateLimitedRetryBackOff). */
export interface RateLimitedBackOff {
  readonly headers: readonly { readonly key: string; readonly unixTime: boolean }[];
  readonly maxMs: number;
}

export interface RetryPlan {
  /** 0: never. */
  readonly maxRetries: number;
  readonly on: ReadonlySet<string>;
  readonly codes: ReadonlySet<number>;
  readonly responseHeaders: readonly ResponseMatch[];
  /** Requests that may be retried; undefined: all. */
  readonly requestMatches: ((request: RequestContext) => boolean) | undefined;
  readonly onConnectFailure: boolean;
  readonly onReset: boolean;
  readonly onResetBeforeRequest: boolean;
  readonly onRefusedStream: boolean;
  /** A response head that calls for another attempt. */
  retriableResponse(status: number, headers: HeaderMap): boolean;
  /** How a retry chooses its host. */
  readonly hosts: RetryHostRules;
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
  readonly rateLimited: RateLimitedBackOff | undefined;
  /** An attempt that takes too long is left running beside the next. */
  readonly hedge: boolean;
}

export type RetrySettings = Omit<
  RetryPlan,
  'onConnectFailure' | 'onReset' | 'onResetBeforeRequest' | 'onRefusedStream' | 'retriableResponse'
>;

export const NO_RETRY: RetrySettings = {
  maxRetries: 0,
  on: new Set(),
  codes: new Set(),
  responseHeaders: [],
  requestMatches: undefined,
  hosts: { avoidPrevious: false, maxAttempts: 1, priorityUpdateFrequency: 0 },
  backOffBaseMs: 25,
  backOffMaxMs: 250,
  rateLimited: undefined,
  hedge: false,
};

export function planRetries(settings: RetrySettings): RetryPlan {
  const { on, codes, responseHeaders } = settings;
  const all5xx = on.has('5xx');
  const gateway = on.has('gateway-error');
  const conflict = on.has('retriable-4xx');
  const limited = on.has('envoy-ratelimited');
  const byCode = on.has('retriable-status-codes');
  const byHeader = on.has('retriable-headers');
  const grpc = new Set(Object.keys(GRPC_STATUS).flatMap((name) => (on.has(name) ? GRPC_STATUS[name]! : [])));
  // A reset counts as the 5xx it would become.
  const onReset = on.has('reset') || all5xx || gateway;
  return {
    ...settings,
    onReset,
    onConnectFailure: onReset || on.has('connect-failure'),
    onResetBeforeRequest: onReset || on.has('reset-before-request'),
    onRefusedStream: onReset || on.has('refused-stream'),
    retriableResponse: (status, headers) => {
      if (headers.has('x-envoy-ratelimited')) return limited;
      if (status >= 500 && (all5xx || (gateway && status >= 502 && status <= 504))) return true;
      if ((conflict && status === 409) || (byCode && codes.has(status))) return true;
      if (byHeader) for (const matches of responseHeaders) if (matches(headers)) return true;
      return grpc.size > 0 && grpc.has(headers.get('grpc-status') ?? '');
    },
  };
}

const CONTROLS = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-hedge-on-per-try-timeout',
];

/**
 * The plan of a request whose client may say how it is retried; takes those headers away.
 * @param plan the route's
 */
export function planWithControls(plan: RetryPlan | undefined, headers: HeaderMap): RetryPlan | undefined {
  if (!CONTROLS.some((key) => headers.has(key))) return plan;
  const base = plan ?? { ...NO_RETRY, maxRetries: 1 };
  const on = new Set([...base.on, ...tokens(headers, 'x-envoy-retry-on'), ...tokens(headers, 'x-envoy-retry-grpc-on')]);
  const most = headers.get('x-envoy-max-retries') ?? '';
  const codes = tokens(headers, 'x-envoy-retriable-status-codes').filter((code) => /^\d{3}$/.test(code));
  const names = tokens(headers, 'x-envoy-retriable-header-names').map((name) => name.toLowerCase());
  const hedge = headers.get('x-envoy-hedge-on-per-try-timeout');
  for (const key of CONTROLS) headers.remove(key);
  if (on.size === 0 && hedge === undefined) return plan;
  return planRetries({
    ...base,
    on,
    maxRetries: on.size > 0 && /^\d{1,9}$/.test(most) ? Number(most) : base.maxRetries,
    codes: new Set([...base.codes, ...codes.map(Number)]),
    responseHeaders: [
      ...base.responseHeaders,
      ...names.map(
        (name): ResponseMatch =>
          (response) =>
            response.has(name),
      ),
    ],
    hedge: hedge === undefined ? base.hedge : hedge === 'true',
  });
}

function tokens(headers: HeaderMap, key: string): string[] {
  return (headers.joined(key) ?? '').split(',').flatMap((token) => token.trim() || []);
}

/**
 * How long the response asks to wait before another attempt.
 * @param now milliseconds since the epoch
 * @returns milliseconds; undefined: it does not say, or longer than allowed
 */
export function askedBackOffMs(limits: RateLimitedBackOff, headers: HeaderMap, now: number): number | undefined {
  for (const { key, unixTime } of limits.headers) {
    const value = headers.get(key);
    if (value === undefined || !/^\d{1,12}$/.test(value)) continue;
    const ms = Number(value) * 1000 - (unixTime ? now : 0);
    if (ms > 0 && ms <= limits.maxMs) return ms;
  }
  return undefined;
}
