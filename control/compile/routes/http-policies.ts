/** What an http rule has besides match and destinations: headers, retries, redirect, fault, CORS. */

import { GRPC_STATUS_NAMES } from '../../../shared/match/grpc-status.ts';
import type {
  CorsPolicy,
  HeaderOperations,
  Headers,
  HttpFaultInjection,
  HttpRedirect,
  HttpRetry,
  Percent,
} from '../../../shared/resources/schema/virtual-service.ts';
import type { FractionalPercent, HeaderValueOption } from '../../../shared/xds/core.ts';
import type * as filters from '../../../shared/xds/http-filters.ts';
import type { RedirectAction, RetryPolicy, Route } from '../../../shared/xds/route.ts';
import { compare } from '../../mesh/sorted-list.ts';
import { stringMatcher } from './http-match.ts';

export type PerFilterConfig = filters.TypedPerFilterConfig;
type FaultConfig = { '@type': string } & filters.HttpFault;
type CorsConfig = { '@type': string } & filters.CorsPolicy;

/** The retry policy of a route that sets none: two retries of requests that certainly did not reach the application. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  retryOn: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
  numRetries: 2,
  retryHostPredicate: [
    {
      name: 'envoy.retry_host_predicates.previous_hosts',
      // An empty message's type allows no key at all, `@type` included.
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
      } as never,
    },
  ],
  hostSelectionRetryMaxAttempts: 5,
};

/** A Go duration (`1h3m2.5s`, `250ms`, `0`) as proto3 JSON (`"3782.5s"`). Throws on anything else. */
export function protoDuration(text: string): string {
  const nanos = { h: 3_600_000_000_000, m: 60_000_000_000, s: 1_000_000_000, ms: 1_000_000, us: 1000, µs: 1000, ns: 1 };
  if (text === '0') return '0s';
  if (!/^(\d+(\.\d+)?(h|ms|us|µs|ns|m|s))+$/.test(text)) throw new Error(`"${text}" is not a duration`);
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(h|ms|us|µs|ns|m|s)/g))
    total += Math.round(Number(amount) * nanos[unit as keyof typeof nanos]);
  const fraction = String(total % 1e9)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${Math.floor(total / 1e9)}${fraction && `.${fraction}`}s`;
}

/** With `retryRemoteLocalities`: every second attempt leaves the priorities of the attempts before. */
const REMOTE_LOCALITIES: NonNullable<RetryPolicy['retryPriority']> = {
  name: 'envoy.retry_priorities.previous_priorities',
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
    updateFrequency: 2,
  },
};

/**
 * Undefined: never retry.
 * @param retries of the route, else MeshConfig.defaultHttpRetryPolicy; undefined where neither is set
 * @param hashed requests have an endpoint of their own: a retry stays with it, unless configured otherwise
 */
export function translateRetries(retries: HttpRetry | undefined, hashed = false): RetryPolicy | undefined {
  const { retryHostPredicate, ...base } = DEFAULT_RETRY_POLICY;
  if (!retries) return hashed ? base : DEFAULT_RETRY_POLICY;
  if (!retries.attempts || retries.attempts <= 0) return undefined;
  return {
    ...base,
    numRetries: retries.attempts,
    ...(retries.retryOn && parseRetryOn(retries.retryOn)),
    ...(retries.perTryTimeout && { perTryTimeout: protoDuration(retries.perTryTimeout) }),
    ...((retries.retryIgnorePreviousHosts ?? !hashed) && { retryHostPredicate }),
    ...(retries.retryRemoteLocalities && { retryPriority: REMOTE_LOCALITIES }),
    ...(retries.backoff && { retryBackOff: { baseInterval: protoDuration(retries.backoff) } }),
  };
}

/**
 * Of requests to the application; undefined: none.
 * @param retries MeshConfig.defaultInboundHttpRetryPolicy; absent: an application may close an idle connection just as a request is
 *   sent on it
 */
export function inboundRetries(retries: HttpRetry | undefined): RetryPolicy | undefined {
  const conditions = { retryOn: 'reset-before-request' };
  if (!retries) return { ...conditions, numRetries: 2 };
  if (!retries.attempts || retries.attempts <= 0) return undefined;
  return {
    ...conditions,
    numRetries: retries.attempts,
    ...(retries.retryOn && parseRetryOn(retries.retryOn)),
    ...(retries.backoff && { retryBackOff: { baseInterval: protoDuration(retries.backoff) } }),
  };
}

/** Numbers among the conditions are status codes. */
function parseRetryOn(text: string): RetryPolicy {
  const parts = text.split(',').map((part) => part.trim());
  const isStatus = (part: string) => /^[1-5]\d\d$/.test(part);
  const conditions = parts.filter((part) => part !== '' && !isStatus(part));
  const retriableStatusCodes = parts.filter(isStatus).map(Number);
  if (retriableStatusCodes.length === 0) return { retryOn: conditions.join(',') };
  if (!conditions.includes('retriable-status-codes')) conditions.push('retriable-status-codes');
  return { retryOn: conditions.join(','), retriableStatusCodes };
}

export interface TranslatedHeaders {
  operations: Pick<
    Route,
    'requestHeadersToAdd' | 'requestHeadersToRemove' | 'responseHeadersToAdd' | 'responseHeadersToRemove'
  >;
  /** `set` of Host or :authority is no header operation but a host rewrite. */
  authority: string | undefined;
}

export function translateHeaders(headers: Headers | undefined): TranslatedHeaders {
  const authority = Object.entries(headers?.request?.set ?? {}).find(([name]) => /^(host|:authority)$/i.test(name));
  const lists = {
    requestHeadersToAdd: additions(headers?.request),
    requestHeadersToRemove: headers?.request?.remove?.filter(isEditable) ?? [],
    responseHeadersToAdd: additions(headers?.response),
    responseHeadersToRemove: headers?.response?.remove?.filter(isEditable) ?? [],
  };
  const operations = Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
  return { operations, authority: authority?.[1] };
}

function additions(operations: HeaderOperations | undefined): HeaderValueOption[] {
  const sorted = (map: Record<string, string> | undefined) =>
    Object.entries(map ?? {})
      .filter(([name]) => isEditable(name))
      .sort(([a], [b]) => compare(a, b));
  return [
    ...sorted(operations?.set).map(
      ([key, value]): HeaderValueOption => ({
        header: { key, value },
        appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
      }),
    ),
    ...sorted(operations?.add).map(([key, value]): HeaderValueOption => ({ header: { key, value } })),
  ];
}

/** Pseudo headers and Host are not headers to be edited; Envoy refuses such operations. */
function isEditable(name: string): boolean {
  return !name.startsWith(':') && name.toLowerCase() !== 'host';
}

const REDIRECT_CODES: Record<number, RedirectAction['responseCode']> = {
  301: 'MOVED_PERMANENTLY',
  302: 'FOUND',
  303: 'SEE_OTHER',
  307: 'TEMPORARY_REDIRECT',
  308: 'PERMANENT_REDIRECT',
};

/** Throws for a redirect code that HTTP does not have. `port`: of the listener, for `derivePort: FROM_REQUEST_PORT`. */
export function translateRedirect(redirect: HttpRedirect, port: number): RedirectAction {
  const code = redirect.redirectCode ?? 0;
  const responseCode = REDIRECT_CODES[code === 0 ? 301 : code];
  if (!responseCode) throw new Error(`redirectCode ${code} is not a redirect`);
  const portRedirect = redirect.derivePort === 'FROM_REQUEST_PORT' ? port : redirect.port;
  return {
    ...(redirect.authority && { hostRedirect: redirect.authority }),
    ...(redirect.prefixRewrite && { prefixRewrite: redirect.prefixRewrite }),
    ...(redirect.uri && { pathRedirect: redirect.uri }),
    ...(redirect.scheme && { schemeRedirect: redirect.scheme }),
    ...(portRedirect && { portRedirect }),
    ...(responseCode !== 'MOVED_PERMANENTLY' && { responseCode }),
  };
}

/** A percentage with four decimals, as Envoy's parts per million. */
export function parts(percent: Percent): FractionalPercent {
  return { numerator: Math.round((percent.value ?? 0) * 10_000), denominator: 'MILLION' };
}

const GRPC_STATUSES: readonly string[] = GRPC_STATUS_NAMES;

/** Undefined where the fault does nothing. Throws for what cannot be injected. */
export function translateFault(fault: HttpFaultInjection | undefined): FaultConfig | undefined {
  if (!fault?.delay && !fault?.abort) return undefined;
  const { delay, abort } = fault;
  if (delay?.exponentialDelay) throw new Error('fault.delay.exponentialDelay is not supported');
  if (abort?.http2Error) throw new Error('fault.abort.http2Error is not supported');
  const error = abort && abortError(abort);
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
    ...(delay?.fixedDelay && {
      delay: {
        fixedDelay: protoDuration(delay.fixedDelay),
        percentage: delay.percentage ? parts(delay.percentage) : { numerator: delay.percent ?? 0 },
      },
    }),
    // Without a percentage the API says: every request.
    ...(error && {
      abort: { ...error, percentage: abort?.percentage ? parts(abort.percentage) : { numerator: 100 } },
    }),
  };
}

function abortError({ grpcStatus, httpStatus }: NonNullable<HttpFaultInjection['abort']>): filters.HttpFault['abort'] {
  if (!grpcStatus) return httpStatus ? { httpStatus } : undefined;
  const code = GRPC_STATUSES.indexOf(grpcStatus);
  if (code < 0) throw new Error(`"${grpcStatus}" is not a gRPC status`);
  return { grpcStatus: code };
}

export function translateCors(cors: CorsPolicy): CorsConfig {
  const origins = cors.allowOrigins?.length
    ? cors.allowOrigins.map((origin) => stringMatcher(origin) ?? { safeRegex: { regex: '.*' } })
    : (cors.allowOrigin ?? []).map((exact) => (exact === '*' ? { safeRegex: { regex: '.*' } } : { exact }));
  const unmatched = cors.unmatchedPreflights ?? 'UNSPECIFIED';
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy',
    ...(origins.length > 0 && { allowOriginStringMatch: origins }),
    ...(cors.allowMethods?.length && { allowMethods: cors.allowMethods.join(',') }),
    ...(cors.allowHeaders?.length && { allowHeaders: cors.allowHeaders.join(',') }),
    ...(cors.exposeHeaders?.length && { exposeHeaders: cors.exposeHeaders.join(',') }),
    ...(cors.maxAge && { maxAge: String(Math.floor(Number(protoDuration(cors.maxAge).slice(0, -1)))) }),
    ...(cors.allowCredentials !== undefined && { allowCredentials: cors.allowCredentials }),
    ...(unmatched !== 'UNSPECIFIED' && { forwardNotMatchingPreflights: unmatched === 'FORWARD' }),
    filterEnabled: { defaultValue: { numerator: 100 } },
  };
}
