/** Options and config of an HTTP connection manager -> what its connections and exchanges read. */
import type { PathNormalization } from '../../../shared/match/path.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import { OverloadState } from '../../overload/overload-state.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { ClusterSet } from '../../upstream/cluster.ts';
import { ConnectionPools } from '../../upstream/pool.ts';
import type { CodecLimits } from '../codec/h1/head.ts';
import { defaultLimits } from '../codec/h1/head.ts';
import { FilterChain } from '../filters/chain.ts';
import { HeaderTreatment } from '../forward-headers.ts';
import { compileLocalReplies, type LocalReplyMap } from '../local-reply-map.ts';
import type { RouteTable } from '../route-table.ts';
import type { RequestContext } from '../stream.ts';
import { TimerPool } from '../timers.ts';
import type { HttpStats } from './http-stats.ts';
import type { ConnectionManagerOptions } from './manager-options.ts';

/** Options and config of a connection manager, compiled once. */
export interface ManagerParts {
  readonly runtime: Runtime;
  readonly routes: () => RouteTable | undefined;
  readonly filters: FilterChain;
  readonly clusters: ClusterSet;
  readonly pools: ConnectionPools;
  readonly timers: TimerPool;
  readonly draining: () => boolean;
  readonly overload: OverloadState;
  readonly stats: HttpStats | undefined;
  readonly onFinished: (request: RequestContext) => void;
  readonly onFault: (error: unknown) => void;
  readonly limits: CodecLimits;
  readonly headers: HeaderTreatment;
  /** Changes answers made here; undefined: none. */
  readonly mapReply: LocalReplyMap | undefined;
  readonly normalization: PathNormalization;
  /** Upgrades that every route may serve, lower-case. */
  readonly upgrades: ReadonlySet<string>;
  readonly suppressEnvoyHeaders: boolean;
  readonly proxyContinue: boolean;
  /** Trailers are passed on. */
  readonly trailers: boolean;
  /** Bytes of a request body kept for sending it again, or while it cannot be sent yet. */
  readonly bufferLimit: number;
  readonly maxRequestsPerConnection: number;
  /** Milliseconds; 0: none. */
  readonly idleMs: number;
  readonly streamIdleMs: number;
  readonly requestMs: number;
  /** The longest a request and its response may take. */
  readonly maxStreamMs: number;
  readonly requestHeadersMs: number;
  readonly maxConnectionMs: number;
  readonly delayedCloseMs: number;
}

/** Pools are shared by all connection managers of one runtime. */
const poolsOf = new WeakMap<Runtime, ConnectionPools>();

export function sharedPools(runtime: Runtime): ConnectionPools {
  let pools = poolsOf.get(runtime);
  if (!pools) poolsOf.set(runtime, (pools = new ConnectionPools(runtime)));
  return pools;
}

/** @throws RangeError naming a field whose value is not supported */
export function compileParts(options: ConnectionManagerOptions, draining: () => boolean): ManagerParts {
  const { config, runtime } = options;
  const common = config.commonHttpProtocolOptions ?? {};
  const http1 = config.httpProtocolOptions ?? {};
  refuseUnsupported(config);
  const router = config.httpFilters?.find((filter) => 'suppressEnvoyHeaders' in filter.typedConfig)?.typedConfig;
  const escaped = config.pathWithEscapedSlashesAction ?? 'KEEP_UNCHANGED';
  return {
    runtime,
    routes: options.routes,
    filters: new FilterChain(options.filters),
    clusters: options.clusters,
    pools: sharedPools(runtime),
    timers: new TimerPool(() => runtime.monotonicMs()),
    draining,
    overload: options.overload ?? new OverloadState(() => runtime.random()),
    stats: options.stats,
    onFinished: options.onFinished,
    onFault: options.onFault ?? (() => {}),
    limits: {
      ...defaultLimits,
      maxHeadBytes: (config.maxRequestHeadersKb ?? 60) * 1024,
      maxFields: common.maxHeadersCount ?? defaultLimits.maxFields,
      acceptHttp10: http1.acceptHttp10 ?? false,
      defaultHost: http1.defaultHostForHttp10 ?? '',
    },
    headers: new HeaderTreatment(config, runtime),
    mapReply: compileLocalReplies(config.localReplyConfig, runtime),
    normalization: {
      normalize: config.normalizePath ?? false,
      mergeSlashes: config.mergeSlashes ?? false,
      escapedSlashes: escaped === 'IMPLEMENTATION_SPECIFIC_DEFAULT' ? 'KEEP_UNCHANGED' : escaped,
    },
    upgrades: new Set(
      (config.upgradeConfigs ?? []).filter((u) => u.enabled !== false).map((u) => u.upgradeType.toLowerCase()),
    ),
    suppressEnvoyHeaders: (router as { suppressEnvoyHeaders?: boolean } | undefined)?.suppressEnvoyHeaders ?? false,
    proxyContinue: config.proxy100Continue ?? false,
    trailers: http1.enableTrailers ?? false,
    bufferLimit: options.bufferLimit ?? 64 * 1024,
    maxRequestsPerConnection: common.maxRequestsPerConnection ?? 0,
    idleMs: milliseconds(common.idleTimeout, 3_600_000),
    streamIdleMs: milliseconds(config.streamIdleTimeout, 300_000),
    requestMs: milliseconds(config.requestTimeout, 0),
    maxStreamMs: milliseconds(common.maxStreamDuration, 0),
    // Envoy's default is none; a head that takes a minute is an attack.
    requestHeadersMs: milliseconds(config.requestHeadersTimeout, 60_000),
    maxConnectionMs: milliseconds(common.maxConnectionDuration, 0),
    delayedCloseMs: milliseconds(config.delayedCloseTimeout, 1000) || 1000,
  };
}

function milliseconds(value: string | undefined, otherwise: number): number {
  return value === undefined ? otherwise : durationMs(value);
}

/** What is read but not done must not be passed over in silence. */
function refuseUnsupported(config: ConnectionManagerOptions['config']): void {
  const refuse = (field: string) => {
    throw new RangeError(`http_connection_manager: ${field} is not supported`);
  };
  if (config.codecType === 'HTTP2' || config.codecType === 'HTTP3') refuse(`codec_type ${config.codecType}`);
  if (config.addUserAgent) refuse('add_user_agent');
  if (config.httpProtocolOptions?.allowAbsoluteUrl === false) refuse('http_protocol_options.allow_absolute_url false');
  if (config.httpProtocolOptions?.headerKeyFormat?.properCaseWords)
    refuse('http_protocol_options.header_key_format.proper_case_words');
  const spelling = config.httpProtocolOptions?.headerKeyFormat?.statefulFormatter?.typedConfig;
  // Names that this proxy adds are in lower case; a reason phrase is always passed on.
  if (spelling?.formatterTypeOnEnvoyHeaders === 'PROPER_CASE')
    refuse('http_protocol_options.header_key_format.stateful_formatter.formatter_type_on_envoy_headers PROPER_CASE');
}
