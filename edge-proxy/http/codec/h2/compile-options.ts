/** Http2ProtocolOptions of a listener or a cluster -> what their connections run with. */
import type { Http2ProtocolOptions } from '../../../../shared/xds/core.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigError } from '../../../config-error.ts';
import { defaultHttp2Options, type Http2FloodLimits, type Http2KeepAlive, type Http2Options } from './options.ts';

/** SETTINGS and windows are 31 bits wide (RFC 9113 section 6.5.2). */
const LARGEST = 2_147_483_647;
/** The initial window of RFC 9113; Envoy allows no smaller one. */
const SMALLEST_WINDOW = 65_535;
/** Envoy's, where the message does not say it. */
const DEFAULT_JITTER_PERCENT = 15;

/** What other parts of the config say, and the randomness that jitter takes. */
export type ConnectionLimits = Pick<Http2Options, 'maxHeadBytes' | 'maxFields'> & Pick<Http2KeepAlive, 'random'>;

/**
 * @param path of the message, for errors
 * @throws ConfigError naming a field that is not supported, or out of the range of Envoy's validation
 */
export function compileHttp2Options(
  config: Http2ProtocolOptions = {},
  path: string,
  limits: ConnectionLimits,
): Http2Options {
  refuseUnsupported(config, path);
  const defaults = defaultHttp2Options;
  const within = (name: NumberField, least: number, most: number, otherwise: number): number => {
    const value = config[name] ?? otherwise;
    if (value < least || value > most) throw new ConfigError(`${path}.${name}`, `must be ${least} to ${most}`);
    return value;
  };
  const window = (name: NumberField, otherwise: number) => within(name, SMALLEST_WINDOW, LARGEST, otherwise);
  return {
    headerTableSize: config.hpackTableSize ?? defaults.headerTableSize,
    maxConcurrentStreams: within('maxConcurrentStreams', 1, LARGEST, defaults.maxConcurrentStreams),
    initialWindow: window('initialStreamWindowSize', defaults.initialWindow),
    streamWindow: window('initialStreamWindowSize', defaults.streamWindow),
    connectionWindow: window('initialConnectionWindowSize', defaults.connectionWindow),
    maxHeadBytes: limits.maxHeadBytes,
    maxFields: limits.maxFields,
    allowConnect: config.allowConnect ?? false,
    resetsStreamOnMalformed:
      config.overrideStreamErrorOnInvalidHttpMessage ?? config.streamErrorOnInvalidHttpMessaging ?? false,
    streamFlushMs: defaults.streamFlushMs,
    keepAlive:
      config.connectionKeepalive &&
      keepAliveOf(config.connectionKeepalive, `${path}.connectionKeepalive`, limits.random),
    flood: floodLimits(config, path),
  };
}

type NumberField = {
  [Name in keyof Http2ProtocolOptions]-?: NonNullable<Http2ProtocolOptions[Name]> extends number ? Name : never;
}[keyof Http2ProtocolOptions];

function refuseUnsupported(config: Http2ProtocolOptions, path: string): void {
  if (config.allowMetadata) throw new ConfigError(`${path}.allowMetadata`, 'is not supported');
  if (config.customSettingsParameters?.length)
    throw new ConfigError(`${path}.customSettingsParameters`, 'are not supported: set the fields named for them');
  if (config.maxHeaderFieldSizeKb !== undefined)
    throw new ConfigError(
      `${path}.maxHeaderFieldSizeKb`,
      'is not supported: a field may be as large as its head (maxRequestHeadersKb)',
    );
}

function floodLimits(config: Http2ProtocolOptions, path: string): Http2FloodLimits {
  const defaults = defaultHttp2Options.flood;
  for (const name of [
    'maxOutboundFrames',
    'maxOutboundControlFrames',
    'maxInboundWindowUpdateFramesPerDataFrameSent',
  ] as const)
    if (config[name] === 0) throw new ConfigError(`${path}.${name}`, 'must be at least 1');
  return {
    ...defaults,
    outboundFrames: config.maxOutboundFrames ?? defaults.outboundFrames,
    outboundControlFrames: config.maxOutboundControlFrames ?? defaults.outboundControlFrames,
    emptyFrames: config.maxConsecutiveInboundFramesWithEmptyPayload ?? defaults.emptyFrames,
    priorityFramesPerStream: config.maxInboundPriorityFramesPerStream ?? defaults.priorityFramesPerStream,
    windowUpdatesPerDataFrame:
      config.maxInboundWindowUpdateFramesPerDataFrameSent ?? defaults.windowUpdatesPerDataFrame,
  };
}

type KeepaliveConfig = NonNullable<Http2ProtocolOptions['connectionKeepalive']>;

function keepAliveOf(config: KeepaliveConfig, path: string, random: () => number): Http2KeepAlive {
  const time = (name: 'interval' | 'timeout' | 'connectionIdleInterval'): number => {
    const value = config[name];
    if (value === undefined) return 0;
    const ms = durationMs(value);
    if (ms < 1) throw new ConfigError(`${path}.${name}`, 'must be at least 1ms');
    return ms;
  };
  const jitterPercent = config.intervalJitter ? (config.intervalJitter.value ?? 0) : DEFAULT_JITTER_PERCENT;
  if (jitterPercent < 0 || jitterPercent > 100) throw new ConfigError(`${path}.intervalJitter`, 'must be 0 to 100');
  return {
    intervalMs: time('interval'),
    timeoutMs: time('timeout'),
    jitterPercent,
    random,
    idleIntervalMs: time('connectionIdleInterval'),
  };
}
