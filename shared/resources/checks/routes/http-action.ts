/** Rules of what an HTTP route does beside forwarding: violations, retries, rewrites, redirects, answers, CORS. */

import { GRPC_STATUS_NAMES } from '../../../match/grpc-status.ts';
import { didYouMean } from '../../read/suggest.ts';
import type {
  CorsPolicy,
  DirectResponse,
  HttpFaultInjection,
  HttpRedirect,
  HttpRetry,
  HttpRewrite,
  HttpRoute,
} from '../../schema/virtual-service.ts';
import { parseDuration } from '../../schema/vocabulary.ts';
import type { Report } from '../../violations.ts';
import {
  fractionViolation,
  headerNameViolation,
  istioRegexViolation,
  percentViolation,
  portViolation,
  strictHeaderNameViolation,
} from '../primitives.ts';

const RETRY_ON: ReadonlySet<string> = new Set(
  (
    '5xx,gateway-error,reset,reset-before-request,connect-failure,envoy-ratelimited,retriable-4xx,refused-stream,' +
    'retriable-status-codes,retriable-headers,http3-post-connect-failure,' +
    'cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'
  ).split(','),
);
const GRPC_STATUS: ReadonlySet<string> = new Set(GRPC_STATUS_NAMES);
/** The statuses that have a name (net/http of Go). */
const STATUSES: ReadonlySet<number> = new Set([
  100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400,
  401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425,
  426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]);
const METHODS: ReadonlySet<string> = new Set('GET,HEAD,POST,PUT,PATCH,DELETE,CONNECT,OPTIONS,TRACE,*'.split(','));
const LARGE_BODY = 100 * 1024;
const MAX_BODY = 1024 * 1024;

export function checkPercent(report: Report, path: string, value: number | undefined): void {
  if (value !== undefined) report.violationIf(path, 'percent', percentViolation(value));
}

function checkFraction(report: Report, path: string, value: number | undefined): void {
  if (value !== undefined) report.violationIf(path, 'percent', fractionViolation(value));
}

export function checkAction(report: Report, path: string, route: HttpRoute): void {
  if (route.fault) checkFault(report, `${path}.fault`, route.fault);
  if (route.retries) checkRetries(report, `${path}.retries`, route.retries);
  if (route.rewrite) checkRewrite(report, `${path}.rewrite`, route.rewrite);
  if (route.redirect) checkRedirect(report, `${path}.redirect`, route.redirect);
  if (route.directResponse) checkDirectResponse(report, `${path}.directResponse`, route.directResponse);
  if (route.corsPolicy) checkCors(report, `${path}.corsPolicy`, route.corsPolicy);
  const setsAuthority = [route.headers, ...(route.route ?? []).map((each) => each.headers)].some((headers) =>
    Object.keys({ ...headers?.request?.set, ...headers?.request?.add }).some((name) =>
      /^(:authority|host)$/i.test(name),
    ),
  );
  if (route.rewrite?.authority && setsAuthority) {
    report.violation(
      `${path}.rewrite.authority`,
      'virtualservice.authority',
      'the authority is set twice: here and by headers',
    );
  }
}

function checkStatus(report: Report, path: string, status: number): void {
  if (status < 200 || status > 600)
    report.violation(path, 'http-status', `must be an HTTP status, 200 to 600; found ${status}`);
}

function checkFault(report: Report, path: string, fault: HttpFaultInjection): void {
  const { abort, delay } = fault;
  if (!abort && !delay) report.violation(path, 'virtualservice.fault', 'must have abort, delay or both');
  if (abort) {
    checkFraction(report, `${path}.abort.percentage.value`, abort.percentage?.value);
    if (abort.httpStatus !== undefined) checkStatus(report, `${path}.abort.httpStatus`, abort.httpStatus);
    else if (abort.grpcStatus !== undefined) {
      if (!GRPC_STATUS.has(abort.grpcStatus)) {
        report.violation(
          `${path}.abort.grpcStatus`,
          'virtualservice.fault',
          `"${abort.grpcStatus}" is not a gRPC status${didYouMean(abort.grpcStatus, [...GRPC_STATUS])}`,
        );
      }
    } else if (abort.http2Error !== undefined) {
      report.violation(`${path}.abort.http2Error`, 'virtualservice.fault', 'is not supported');
    } else
      report.warn(`${path}.abort`, 'virtualservice.fault', 'does nothing: it has neither httpStatus nor grpcStatus');
  }
  if (delay) {
    checkFraction(report, `${path}.delay.percentage.value`, delay.percentage?.value);
    checkPercent(report, `${path}.delay.percent`, delay.percent);
    if (delay.exponentialDelay !== undefined) {
      report.violation(`${path}.delay.exponentialDelay`, 'virtualservice.fault', 'is not supported: use fixedDelay');
    } else if (delay.fixedDelay === undefined) {
      report.warn(`${path}.delay`, 'virtualservice.fault', 'does nothing: it has no fixedDelay');
    }
    if (delay.percent !== undefined) {
      report.warn(`${path}.delay.percent`, 'deprecated', 'is deprecated: use percentage');
    }
  }
}

export function checkRetries(report: Report, path: string, retries: HttpRetry): void {
  const { attempts = 0, ...rest } = retries;
  if (attempts < 0) report.violation(`${path}.attempts`, 'virtualservice.retries', `must be >= 0; found ${attempts}`);
  const others = ['perTryTimeout', 'retryOn', 'retryRemoteLocalities'] as const;
  if (attempts === 0 && others.some((field) => rest[field] !== undefined)) {
    report.violation(
      `${path}.attempts`,
      'virtualservice.retries',
      'must be positive when other fields of the retry policy are set',
    );
  }
  for (const word of (rest.retryOn ?? '').split(',').map((each) => each.trim())) {
    if (word === '' || RETRY_ON.has(word)) continue;
    if (!(/^\d{3}$/.test(word) && STATUSES.has(Number(word)))) {
      report.violation(
        `${path}.retryOn`,
        'virtualservice.retries',
        `"${word}" is neither a retry condition${didYouMean(word, [...RETRY_ON])} nor an HTTP status`,
      );
    }
  }
}

function checkRewrite(report: Report, path: string, rewrite: HttpRewrite): void {
  const { uri, authority, uriRegexRewrite } = rewrite;
  if (!uri && !authority && !uriRegexRewrite) {
    report.violation(path, 'virtualservice.rewrite', 'must have at least one of uri, uriRegexRewrite, authority');
  }
  if (uri && uriRegexRewrite)
    report.violation(path, 'virtualservice.rewrite', 'only one of uri and uriRegexRewrite may be set');
  if (!uriRegexRewrite) return;
  const at = `${path}.uriRegexRewrite`;
  for (const field of ['match', 'rewrite'] as const) {
    if (!uriRegexRewrite[field]) report.violation(`${at}.${field}`, 'required', 'is required');
  }
  if (uriRegexRewrite.match) report.violationIf(`${at}.match`, 'regex', istioRegexViolation(uriRegexRewrite.match));
}

function checkRedirect(report: Report, path: string, redirect: HttpRedirect): void {
  const { redirectCode, scheme, port, uri, prefixRewrite } = redirect;
  const { redirectCode: _, ...target } = redirect;
  if (Object.values(target).every((field) => field === '' || field === undefined || field === 0)) {
    report.violation(path, 'virtualservice.redirect', 'must have at least one of uri, authority, scheme, port');
  }
  if (uri && prefixRewrite)
    report.violation(path, 'virtualservice.redirect', 'only one of uri and prefixRewrite may be set');
  if (redirectCode && (redirectCode < 300 || redirectCode > 399)) {
    report.violation(`${path}.redirectCode`, 'virtualservice.redirect', `must be 300 to 399; found ${redirectCode}`);
  }
  if (scheme && !/^https?$/.test(scheme))
    report.violation(
      `${path}.scheme`,
      'virtualservice.redirect',
      `must be http or https; found ${JSON.stringify(scheme)}`,
    );
  if (port !== undefined) report.violationIf(`${path}.port`, 'port', portViolation(port));
}

function checkDirectResponse(report: Report, path: string, response: DirectResponse): void {
  checkStatus(report, `${path}.status`, response.status);
  const { string, bytes } = response.body ?? {};
  const size =
    string !== undefined ? new TextEncoder().encode(string).length : Math.floor(((bytes?.length ?? 0) * 3) / 4);
  if (size > MAX_BODY) report.violation(`${path}.body`, 'virtualservice.body', 'must be at most 1 MiB');
  else if (size > LARGE_BODY)
    report.warn(`${path}.body`, 'virtualservice.body', 'is larger than 100 KiB: it burdens every proxy');
}

function checkCors(report: Report, path: string, cors: CorsPolicy): void {
  for (const [i, method] of (cors.allowMethods ?? []).entries()) {
    if (!METHODS.has(method))
      report.violation(
        `${path}.allowMethods[${i}]`,
        'virtualservice.cors',
        `"${method}" is not an HTTP method${didYouMean(method, [...METHODS])}`,
      );
  }
  for (const field of ['allowHeaders', 'exposeHeaders'] as const) {
    for (const [i, name] of (cors[field] ?? []).entries()) {
      const violation =
        headerNameViolation(name) ??
        (name === '*' || !name.startsWith(':') ? strictHeaderNameViolation(name) : 'is no header');
      report.violationIf(`${path}.${field}[${i}]`, 'virtualservice.cors', violation);
    }
  }
  for (const [i, origin] of (cors.allowOrigins ?? []).entries()) {
    for (const field of ['exact', 'prefix', 'regex'] as const) {
      if (origin[field] === '')
        report.violation(`${path}.allowOrigins[${i}].${field}`, 'virtualservice.cors', 'must not be empty');
    }
    if (origin.regex)
      report.violationIf(`${path}.allowOrigins[${i}].regex`, 'regex', istioRegexViolation(origin.regex));
  }
  const maxAge = cors.maxAge === undefined ? 0 : (parseDuration(cors.maxAge) ?? 0);
  if (maxAge % 1000 !== 0) report.violation(`${path}.maxAge`, 'virtualservice.cors', 'must be whole seconds');
}
