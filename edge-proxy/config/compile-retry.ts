/** RetryPolicy -> RetryPlan: Envoy's conditions (envoyproxy.io: router filter, x-envoy-retry-on), read once. */
import { durationMs } from '../../shared/xds/message.ts';
import type { RetryPolicy } from '../../shared/xds/route.ts';
import type { RetryPlan } from '../http/route-table.ts';
import { ConfigFault } from './config-fault.ts';

const GRPC_STATUS: Record<string, string> = {
  cancelled: '1',
  'deadline-exceeded': '4',
  'resource-exhausted': '8',
  internal: '13',
  unavailable: '14',
};
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
  ...Object.keys(GRPC_STATUS),
]);
const DEFAULT_BASE_MS = 25;

/** Undefined: never retry. Throws ConfigFault for a condition this proxy cannot judge. */
export function compileRetry(policy: RetryPolicy | undefined, path: string): RetryPlan | undefined {
  const maxRetries = policy?.numRetries ?? 1;
  const on = new Set((policy?.retryOn ?? '').split(',').flatMap((token) => token.trim() || []));
  for (const token of on)
    if (!CONDITIONS.has(token)) throw new ConfigFault(`${path}.retryOn`, `unsupported condition "${token}"`);
  if (!policy || on.size === 0 || maxRetries === 0) return undefined;
  const codes = new Set(on.has('retriable-status-codes') ? policy.retriableStatusCodes : []);
  const grpc = new Set(Object.keys(GRPC_STATUS).flatMap((name) => (on.has(name) ? GRPC_STATUS[name]! : [])));
  const [all5xx, gateway, conflict, limited] = ['5xx', 'gateway-error', 'retriable-4xx', 'envoy-ratelimited'].map(
    (name) => on.has(name),
  );
  // A reset counts as the 5xx it would become.
  const onReset = on.has('reset') || all5xx || gateway || false;
  const backOffBaseMs = policy.retryBackOff ? durationMs(policy.retryBackOff.baseInterval) : DEFAULT_BASE_MS;
  const max = policy.retryBackOff?.maxInterval;
  const backOffMaxMs = max === undefined ? backOffBaseMs * 10 : durationMs(max);
  if (backOffBaseMs <= 0 || backOffMaxMs < backOffBaseMs)
    throw new ConfigFault(`${path}.retryBackOff`, 'baseInterval must be positive and at most maxInterval');
  return {
    maxRetries,
    perTryTimeoutMs: policy.perTryTimeout ? durationMs(policy.perTryTimeout) : 0,
    onReset,
    onConnectFailure: onReset || on.has('connect-failure'),
    onResetBeforeRequest: onReset || on.has('reset-before-request'),
    onRefusedStream: onReset || on.has('refused-stream'),
    retriableResponse: (status, headers) => {
      if (headers.has('x-envoy-ratelimited')) return limited === true;
      if (status >= 500 && all5xx) return true;
      if (gateway && status >= 502 && status <= 504) return true;
      if ((conflict && status === 409) || codes.has(status)) return true;
      return grpc.size > 0 && grpc.has(headers.get('grpc-status') ?? '');
    },
    hosts: {
      avoidPrevious: (policy.retryHostPredicate?.length ?? 0) > 0,
      maxAttempts: policy.hostSelectionRetryMaxAttempts ?? 1,
      priorityUpdateFrequency: updateFrequency(policy, path),
    },
    backOffBaseMs,
    backOffMaxMs,
  };
}

/** previous_priorities: how many tries it takes until their priorities are left out. */
function updateFrequency(policy: RetryPolicy, path: string): number {
  if (!policy.retryPriority) return 0;
  const frequency = policy.retryPriority.typedConfig?.updateFrequency ?? 0;
  if (frequency < 1) throw new ConfigFault(`${path}.retryPriority.typedConfig.updateFrequency`, 'must be at least 1');
  return frequency;
}
