/** LocalRateLimit -> what the filter does (envoyproxy.io: Local rate limit). */
import { statusOfCode } from '../../../../shared/xds/filters/ext-authz.ts';
import type { LocalRateLimit } from '../../../../shared/xds/filters/local-ratelimit.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigError } from '../../../config-error.ts';
import { compileHeaderEdit, type HeaderEdit } from '../../headers/compile-header-operations.ts';
import type { LocalReply } from '../../request/request-context.ts';
import { shareOf } from '../../routing/share.ts';
import { TokenBucket } from './token-bucket.ts';

/** Counters of Envoy's names, behind `<stat prefix>.http_local_rate_limit.`. */
export const COUNTERS = ['enabled', 'ok', 'rate_limited', 'enforced'] as const;
export type CounterName = (typeof COUNTERS)[number];
type Counters = Readonly<Record<CounterName, { value: number }>>;

export interface RateLimit {
  /** 0 to 1. */
  readonly enabled: number;
  readonly enforced: number;
  /** A bucket of a proxy or of a connection; undefined: nothing is limited. */
  readonly newBucket: ((nowMs: number) => TokenBucket) | undefined;
  readonly perConnection: boolean;
  readonly reply: LocalReply;
  readonly showsLimit: boolean;
  readonly onRefused: HeaderEdit;
  readonly onNotEnforced: HeaderEdit;
  readonly counters: Counters;
}

interface Env {
  readonly now: () => number;
  readonly managerCounter?: ((name: string) => { value: number }) | undefined;
}

/** Shorter intervals are refused, as Envoy does. */
const MIN_FILL_MS = 50;

/** @throws ConfigError naming the field */
export function compileRateLimit(config: LocalRateLimit, path: string, env: Env): RateLimit {
  const { statPrefix, status, rateLimitedAsResourceExhausted = false } = config;
  const code = status?.code ? statusOfCode(status.code) : 429;
  const edit = (
    field: 'requestHeadersToAdd' | 'responseHeadersToAdd',
    options: LocalRateLimit['responseHeadersToAdd'],
  ) =>
    compileHeaderEdit(
      field === 'requestHeadersToAdd' ? 'request' : 'response',
      [{ path, config: { [field]: options ?? [] } }],
      false,
      { now: env.now, monotonicMs: env.now },
    );
  return {
    enabled: shareOf(config.filterEnabled?.defaultValue),
    enforced: shareOf(config.filterEnforced?.defaultValue),
    newBucket: bucketMaker(config, path),
    perConnection: config.localRateLimitPerDownstreamConnection ?? false,
    reply: {
      status: code < 400 ? 429 : code,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flag: 'RL',
      ...(rateLimitedAsResourceExhausted && { grpcStatus: 8 }),
    },
    showsLimit: config.enableXRatelimitHeaders === 'DRAFT_VERSION_03',
    onRefused: edit('responseHeadersToAdd', config.responseHeadersToAdd),
    onNotEnforced: edit('requestHeadersToAdd', config.requestHeadersToAddWhenNotEnforced),
    counters: countersOf(statPrefix, env.managerCounter),
  };
}

function bucketMaker({ tokenBucket }: LocalRateLimit, path: string): RateLimit['newBucket'] {
  if (!tokenBucket) return undefined;
  const { maxTokens, tokensPerFill = 1, fillInterval } = tokenBucket;
  const at = path === '' ? 'tokenBucket' : `${path}.tokenBucket`;
  const fillMs = durationMs(fillInterval);
  if (maxTokens < 1) throw new ConfigError(`${at}.maxTokens`, 'must be at least 1');
  if (tokensPerFill < 1) throw new ConfigError(`${at}.tokensPerFill`, 'must be at least 1');
  if (fillMs < MIN_FILL_MS) throw new ConfigError(`${at}.fillInterval`, `must be at least ${MIN_FILL_MS / 1000}s`);
  return (nowMs) => new TokenBucket(maxTokens, tokensPerFill, fillMs, nowMs);
}

function countersOf(statPrefix: string, counter: Env['managerCounter']): Counters {
  const of = (name: CounterName) => counter?.(`${statPrefix}.http_local_rate_limit.${name}`) ?? { value: 0 };
  return Object.fromEntries(COUNTERS.map((name) => [name, of(name)])) as Counters;
}
