/** Access log filters (envoy.config.accesslog.v3.AccessLogFilter), compiled once. */
import {
  type AccessLogFilter,
  type Comparison,
  GRPC_FILTER_STATUS_NAMES,
} from '../../shared/xds/http-connection-manager.ts';
import { attributes } from '../attributes/attributes.ts';
import type { TrafficRecord } from '../attributes/record.ts';
import { LONG_FLAGS } from '../attributes/response-flags.ts';
import { compileCondition } from '../cel/compile.ts';
import { ConfigError, errorAt } from '../config-error.ts';
import { GRPC, grpcStatusOf } from '../http/grpc/status.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import { compileHeaderMatcher, type HeaderSource } from '../http/routing/matchers.ts';
import type { WallClock } from './format-operators.ts';

/** @param nowMs on the clock of `startMs` */
export type LogFilter = (record: TrafficRecord, nowMs: number) => boolean;

/** What a header filter sees of a connection that is not HTTP. */
const NO_HEAD: HeaderSource = { method: '', path: '', authority: '', scheme: '', headers: new HeaderMap() };

/**
 * @param wallClock for expressions that ask for the time of a request
 * @throws ConfigError at `path` unless exactly one filter is given
 */
export function compileLogFilter(filter: AccessLogFilter, path: string, wallClock: WallClock): LogFilter {
  const { statusCodeFilter, durationFilter, headerFilter, responseFlagFilter, grpcStatusFilter } = filter;
  const { andFilter, orFilter, extensionFilter, traceableFilter } = filter;
  if (Object.values(filter).filter((one) => one !== undefined).length !== 1)
    throw new ConfigError(path, 'must have exactly one filter');
  if (statusCodeFilter) {
    const holds = compileComparison(statusCodeFilter);
    const code = attributes['response.code'];
    return (record) => holds(code(record) ?? 0);
  }
  if (durationFilter) {
    const holds = compileComparison(durationFilter);
    return (record, nowMs) => holds(Math.floor(nowMs - record.startMs));
  }
  if (headerFilter) {
    const matches = compileHeaderMatcher(headerFilter.header, `${path}.header_filter.header`);
    const withoutHead = matches(NO_HEAD);
    return (record) => (record.kind === 'request' ? matches(record) : withoutHead);
  }
  if (responseFlagFilter) {
    const flags = new Set<string>(responseFlagFilter.flags ?? []);
    for (const flag of flags)
      if (!Object.hasOwn(LONG_FLAGS, flag))
        throw new ConfigError(`${path}.response_flag_filter.flags`, `"${flag}" is no response flag that is known here`);
    return ({ flags: found }) => (flags.size === 0 ? found.length > 0 : found.some((flag) => flags.has(flag)));
  }
  if (grpcStatusFilter) return compileGrpcStatus(grpcStatusFilter);
  if (traceableFilter) return (record) => record.kind === 'request' && (record.traceReason ?? 'none') !== 'none';
  if (extensionFilter) {
    const { expression } = extensionFilter.typedConfig as { expression: string };
    const at = `${path}.extension_filter.typed_config.expression`;
    return errorAt(at, () => compileCondition(expression, wallClock));
  }
  const joined = andFilter ?? orFilter;
  if (!joined) return () => true;
  const inner = (joined.filters ?? []).map((one, i) => compileLogFilter(one, `${path}.filters[${i}]`, wallClock));
  if (inner.length < 2) throw new ConfigError(path, 'needs two filters or more');
  return andFilter
    ? (record, nowMs) => inner.every((matches) => matches(record, nowMs))
    : (record, nowMs) => inner.some((matches) => matches(record, nowMs));
}

/** As in Envoy, a record without a gRPC status is judged by its HTTP status. */
function compileGrpcStatus({ statuses, exclude = false }: NonNullable<AccessLogFilter['grpcStatusFilter']>): LogFilter {
  const codes = new Set((statuses ?? []).map((name) => GRPC_FILTER_STATUS_NAMES.indexOf(name)));
  return (record) => {
    const status =
      record.kind === 'request'
        ? grpcStatusOf(record.responseTrailers, record.responseHeaders, record.responseCode)
        : undefined;
    return codes.has(status ?? GRPC.UNKNOWN) !== exclude;
  };
}

function compileComparison({ comparison: { op = 'EQ', value } }: Comparison): (found: number) => boolean {
  const wanted = value?.defaultValue ?? 0;
  if (op === 'EQ') return (found) => found === wanted;
  if (op === 'GE') return (found) => found >= wanted;
  if (op === 'LE') return (found) => found <= wanted;
  return (found) => found !== wanted;
}
