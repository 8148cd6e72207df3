/** Options and config of an HTTP connection manager -> what its connections and exchanges are given. */

import type { StringMatcher } from '../../../shared/xds/core.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { OverloadState } from '../../overload/overload-state.ts';
import { sharedPool } from '../../upstream/upstream-pool.ts';
import { batchClock } from '../codec/batch-clock.ts';
import { type CodecLimits, defaultLimits } from '../codec/h1/head.ts';
import { compileHttp2Options } from '../codec/h2/compile-options.ts';
import type { Http2DownstreamOptions } from '../codec/h2/downstream-connection.ts';
import { defaultHttp2Options } from '../codec/h2/options.ts';
import type { ExchangeConfig } from '../exchange/exchange-config.ts';
import { compileLocalReplies } from '../exchange/local-reply-map.ts';
import { FilterChain } from '../filters/chain.ts';
import { decoratorOf } from '../headers/decorator.ts';
import { HeaderTreatment } from '../headers/forward-headers.ts';
import { compileObservers, outlierObserver } from '../request/request-observer.ts';
import { TimerPool } from '../request/timers.ts';
import { compileStringMatcher } from '../routing/matchers.ts';
import type { HttpStats } from './http-stats.ts';
import type { ConnectionManagerOptions } from './manager-options.ts';

/** What sessions are given. Times in milliseconds; 0: none. */
export interface SessionConfig {
  readonly exchange: ExchangeConfig;
  readonly draining: () => boolean;
  readonly overload: OverloadState;
  readonly stats: HttpStats | undefined;
  readonly limits: CodecLimits;
  /** HTTP/1 connections pass trailers on. */
  readonly trailers: boolean;
  readonly maxRequestsPerConnection: number;
  readonly idleMs: number;
  readonly requestHeadersMs: number;
  readonly maxConnectionMs: number;
  readonly delayedCloseMs: number;
  readonly http2: Http2DownstreamOptions;
}

/** The config of requests in a tunnel that the HTTP proxy serves. */
export function tunnelConfig(config: SessionConfig, options: ConnectionManagerOptions): SessionConfig {
  return { ...config, exchange: { ...config.exchange, filters: new FilterChain(options.filters) } };
}

/**
 * @param serveTunnel undefined where it is no HTTP proxy
 * @throws RangeError or ConfigError naming a field whose value is not supported
 */
export function compileManager(
  options: ConnectionManagerOptions,
  draining: () => boolean,
  serveTunnel: ExchangeConfig['serveTunnel'],
): SessionConfig {
  const { config } = options;
  const common = config.commonHttpProtocolOptions ?? {};
  const http1 = config.httpProtocolOptions ?? {};
  refuseUnsupported(config);
  const delayedCloseMs = milliseconds(config.delayedCloseTimeout, 1000) || 1000;
  const overload = options.overload ?? new OverloadState(() => options.runtime.random());
  return {
    exchange: { ...compileExchange(options, overload), serveTunnel },
    draining,
    overload,
    stats: options.stats,
    limits: {
      ...defaultLimits,
      maxHeadBytes: (config.maxRequestHeadersKb ?? 60) * 1024,
      maxFields: common.maxHeadersCount ?? defaultLimits.maxFields,
      acceptHttp10: http1.acceptHttp10 ?? false,
      defaultHost: http1.defaultHostForHttp10 ?? '',
      ignoresUpgrade: compileIgnoredUpgrades(http1.ignoreHttp11Upgrade ?? []),
    },
    trailers: http1.enableTrailers ?? false,
    maxRequestsPerConnection: common.maxRequestsPerConnection ?? 0,
    idleMs: milliseconds(common.idleTimeout, 3_600_000),
    // Envoy's default is none; a head that takes a minute is an attack.
    requestHeadersMs: milliseconds(config.requestHeadersTimeout, 60_000),
    maxConnectionMs: milliseconds(common.maxConnectionDuration, 0),
    delayedCloseMs,
    http2: compileHttp2(options, delayedCloseMs),
  };
}

function compileHttp2(
  { config, runtime, stats }: ConnectionManagerOptions,
  delayedCloseMs: number,
): Http2DownstreamOptions {
  return {
    ...compileHttp2Options(config.http2ProtocolOptions, 'http2ProtocolOptions', {
      maxHeadBytes: (config.maxRequestHeadersKb ?? 60) * 1024,
      maxFields: config.commonHttpProtocolOptions?.maxHeadersCount ?? defaultHttp2Options.maxFields,
      random: () => runtime.random(),
    }),
    streamFlushMs: milliseconds(config.streamFlushTimeout ?? config.streamIdleTimeout, 300_000),
    rejectsUnderscores: config.commonHttpProtocolOptions?.headersWithUnderscoresAction === 'REJECT_REQUEST',
    counters: stats?.http2,
    delayedCloseMs,
    drainMs: milliseconds(config.drainTimeout, 5000),
  };
}

function compileExchange(options: ConnectionManagerOptions, overload: OverloadState): ExchangeConfig {
  const { config, runtime, clusters, onInternalError = () => {} } = options;
  const common = config.commonHttpProtocolOptions ?? {};
  const routerFilter = config.httpFilters?.find((filter) => 'suppressEnvoyHeaders' in filter.typedConfig)?.typedConfig;
  const escaped = config.pathWithEscapedSlashesAction ?? 'KEEP_UNCHANGED';
  return {
    routes: options.routes,
    filters: new FilterChain([...(options.httpProxy?.filters ?? []), ...options.filters]),
    headers: new HeaderTreatment(config, runtime),
    decorator: config.tracing && decoratorOf(options.outbound ?? false),
    mapReply: compileLocalReplies(config.localReplyConfig, runtime),
    normalization: {
      normalize: config.normalizePath ?? false,
      mergeSlashes: config.mergeSlashes ?? false,
      escapedSlashes: escaped === 'IMPLEMENTATION_SPECIFIC_DEFAULT' ? 'KEEP_UNCHANGED' : escaped,
    },
    upgrades: new Set(
      (config.upgradeConfigs ?? []).filter((u) => u.enabled !== false).map((u) => u.upgradeType.toLowerCase()),
    ),
    bufferLimit: options.bufferLimit ?? 64 * 1024,
    streamIdleMs: milliseconds(config.streamIdleTimeout, 300_000),
    requestMs: milliseconds(config.requestTimeout, 0),
    maxStreamMs: milliseconds(common.maxStreamDuration, 0),
    scaledIdleMs: (ms) => overload.timers?.streamIdle(ms) ?? ms,
    onInternalError,
    router: {
      clock: batchClock(runtime),
      random: () => runtime.random(),
      clusters,
      upstreams: sharedPool(runtime),
      timers: new TimerPool(() => runtime.monotonicMs()),
      events: compileObservers([outlierObserver, ...options.observers], onInternalError),
      suppressEnvoyHeaders:
        (routerFilter as { suppressEnvoyHeaders?: boolean } | undefined)?.suppressEnvoyHeaders ?? false,
      proxyContinue: config.proxy100Continue ?? false,
      onInternalError,
    },
  };
}

function compileIgnoredUpgrades(matchers: readonly StringMatcher[]): CodecLimits['ignoresUpgrade'] {
  if (matchers.length === 0) return undefined;
  const compiled = matchers.map((matcher, i) =>
    compileStringMatcher(matcher, `http_protocol_options.ignore_http_11_upgrade[${i}]`),
  );
  return (protocol) => compiled.some((matches) => matches(protocol));
}

function milliseconds(value: string | undefined, otherwise: number): number {
  return value === undefined ? otherwise : durationMs(value);
}

/** What is read but has no effect is refused by name. */
function refuseUnsupported(config: ConnectionManagerOptions['config']): void {
  const refuse = (field: string) => {
    throw new RangeError(`http_connection_manager: ${field} is not supported`);
  };
  if (config.codecType === 'HTTP3') refuse('codec_type HTTP3');
  if (config.addUserAgent) refuse('add_user_agent');
  if (config.httpProtocolOptions?.allowAbsoluteUrl === false) refuse('http_protocol_options.allow_absolute_url false');
  if (config.httpProtocolOptions?.headerKeyFormat?.properCaseWords)
    refuse('http_protocol_options.header_key_format.proper_case_words');
  const spelling = config.httpProtocolOptions?.headerKeyFormat?.statefulFormatter?.typedConfig;
  // Names that this proxy adds are in lower case; a reason phrase is always passed on.
  if (spelling?.formatterTypeOnEnvoyHeaders === 'PROPER_CASE')
    refuse('http_protocol_options.header_key_format.stateful_formatter.formatter_type_on_envoy_headers PROPER_CASE');
}
