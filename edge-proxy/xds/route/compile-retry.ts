/** RetryPolicy -> RetryPlan: Envoy's conditions, hosts and back-offs (envoyproxy.io: config.route.v3.RetryPolicy), read once. */
import { durationMs } from '../../../shared/xds/message.ts';
import type { HeaderMatcher, RetryPolicy } from '../../../shared/xds/route.ts';
import { ConfigFault } from '../../config-error.ts';
import { compileHeaderMatcher } from '../../http/matchers.ts';
import {
  isRetryCondition,
  NO_RETRY,
  planRetries,
  type RateLimitedBackOff,
  type ResponseMatch,
  type RetryPlan,
} from '../../http/router/retry-plan.ts';
import type { RequestContext } from '../../http/stream.ts';

/**
 * @returns undefined: never retry
 * @throws ConfigFault for a condition this proxy cannot judge
 */
export function compileRetry(policy: RetryPolicy | undefined, path: string, hedge = false): RetryPlan | undefined {
  const on = new Set((policy?.retryOn ?? '').split(',').flatMap((token) => token.trim() || []));
  for (const token of on)
    if (!isRetryCondition(token)) throw new ConfigFault(`${path}.retryOn`, `unsupported condition "${token}"`);
  if (!policy || on.size === 0) return undefined;
  const requestMatches = (policy.retriableRequestHeaders ?? []).map((one, i) =>
    compileHeaderMatcher(one, `${path}.retriableRequestHeaders[${i}]`),
  );
  return planRetries({
    ...NO_RETRY,
    ...backOff(policy, path),
    maxRetries: policy.numRetries ?? 1,
    on,
    codes: new Set(policy.retriableStatusCodes ?? []),
    responseHeaders: (policy.retriableHeaders ?? []).map((one, i) =>
      responseMatch(one, `${path}.retriableHeaders[${i}]`),
    ),
    requestMatches:
      requestMatches.length === 0 ? undefined : (request) => requestMatches.some((matches) => matches(request)),
    hosts: {
      avoidPrevious: (policy.retryHostPredicate?.length ?? 0) > 0,
      maxAttempts: policy.hostSelectionRetryMaxAttempts ?? 1,
      priorityUpdateFrequency: updateFrequency(policy, path),
    },
    rateLimited: rateLimitedBackOff(policy, path),
    hedge,
  });
}

function backOff(policy: RetryPolicy, path: string): { backOffBaseMs: number; backOffMaxMs: number } {
  const backOffBaseMs = policy.retryBackOff ? durationMs(policy.retryBackOff.baseInterval) : NO_RETRY.backOffBaseMs;
  const max = policy.retryBackOff?.maxInterval;
  const backOffMaxMs = max === undefined ? backOffBaseMs * 10 : durationMs(max);
  if (backOffBaseMs <= 0 || backOffMaxMs < backOffBaseMs)
    throw new ConfigFault(`${path}.retryBackOff`, 'baseInterval must be positive and at most maxInterval');
  return { backOffBaseMs, backOffMaxMs };
}

/** Matchers read requests; a response has headers only. */
function responseMatch(matcher: HeaderMatcher, path: string): ResponseMatch {
  if (matcher.name.startsWith(':') || matcher.name.toLowerCase() === 'host')
    throw new ConfigFault(`${path}.name`, `"${matcher.name}" is not a header of a response`);
  const matches = compileHeaderMatcher(matcher, path);
  return (headers) => matches({ headers } as RequestContext);
}

function rateLimitedBackOff(policy: RetryPolicy, path: string): RateLimitedBackOff | undefined {
  const given = policy.rateLimitedRetryBackOff;
  if (!given) return undefined;
  if (given.resetHeaders.length === 0)
    throw new ConfigFault(`${path}.rateLimitedRetryBackOff.resetHeaders`, 'must name a header');
  const maxMs = given.maxInterval === undefined ? 300_000 : durationMs(given.maxInterval);
  if (maxMs <= 0) throw new ConfigFault(`${path}.rateLimitedRetryBackOff.maxInterval`, 'must be positive');
  return {
    headers: given.resetHeaders.map(({ name, format }) => ({
      key: name.toLowerCase(),
      unixTime: format === 'UNIX_TIMESTAMP',
    })),
    maxMs,
  };
}

/** previous_priorities: how many tries it takes until their priorities are left out. */
function updateFrequency(policy: RetryPolicy, path: string): number {
  if (!policy.retryPriority) return 0;
  const frequency = policy.retryPriority.typedConfig?.updateFrequency ?? 0;
  if (frequency < 1) throw new ConfigFault(`${path}.retryPriority.typedConfig.updateFrequency`, 'must be at least 1');
  return frequency;
}
