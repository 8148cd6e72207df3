/** envoy.filters.http.local_ratelimit: a token bucket of this proxy, or of each downstream connection, for its requests. */
import type { DownstreamInfo, RequestContext } from '../../request/request-context.ts';
import type { FilterEnv, FilterUse } from '../definition.ts';
import { type FilterHooks, StateSlot } from '../hooks.ts';
import type { RateLimit } from './compile.ts';
import type { TokenBucket } from './token-bucket.ts';

interface Judged {
  readonly limit: RateLimit;
  readonly bucket: TokenBucket | undefined;
  readonly refused: boolean;
}

/** @param routeLimit in the place of the listener's; undefined: the listener's */
export function createRateLimitFilter(
  own: RateLimit,
  routeLimit: FilterUse<RateLimit>['routeConfig'],
  { now, random }: Pick<FilterEnv, 'now' | 'random'>,
): FilterHooks {
  const judged = new StateSlot<Judged>();
  const buckets = new Buckets();
  const drawn = (share: number) => share >= 1 || (share > 0 && random() < share);
  return {
    onRequestHead: (context) => {
      const { request } = context;
      const limit = routeLimit(request) ?? own;
      if (!drawn(limit.enabled)) return undefined;
      limit.counters.enabled.value++;
      const nowMs = now();
      const bucket = buckets.of(limit, request, nowMs);
      const passes = bucket?.take(nowMs) ?? true;
      const refused = !passes && drawn(limit.enforced);
      if (limit.showsLimit || refused) context.set(judged, { limit, bucket, refused });
      if (passes) {
        limit.counters.ok.value++;
        return undefined;
      }
      limit.counters.rate_limited.value++;
      if (!refused) {
        limit.onNotEnforced(request, request.headers);
        return undefined;
      }
      limit.counters.enforced.value++;
      return limit.reply;
    },
    onResponseHead: (context, { headers }) => {
      const found = context.get(judged);
      if (!found) return undefined;
      const { limit, bucket, refused } = found;
      if (refused) limit.onRefused(context.request, headers);
      if (limit.showsLimit && bucket) {
        const nowMs = now();
        headers.set('x-ratelimit-limit', String(bucket.max));
        headers.set('x-ratelimit-remaining', String(bucket.remaining(nowMs)));
        headers.set('x-ratelimit-reset', String(bucket.secondsToToken(nowMs)));
      }
      return undefined;
    },
  };
}

/** One bucket a limit, or one a limit and connection. They go with the configuration, as in Envoy. */
class Buckets {
  private readonly shared = new Map<RateLimit, TokenBucket>();
  private readonly byConnection = new WeakMap<DownstreamInfo, Map<RateLimit, TokenBucket>>();

  of(limit: RateLimit, { downstream }: Pick<RequestContext, 'downstream'>, nowMs: number): TokenBucket | undefined {
    if (!limit.newBucket) return undefined;
    const buckets = limit.perConnection ? this.ofConnection(downstream) : this.shared;
    let bucket = buckets.get(limit);
    if (!bucket) buckets.set(limit, (bucket = limit.newBucket(nowMs)));
    return bucket;
  }

  private ofConnection(downstream: DownstreamInfo): Map<RateLimit, TokenBucket> {
    let buckets = this.byConnection.get(downstream);
    if (!buckets) this.byConnection.set(downstream, (buckets = new Map()));
    return buckets;
  }
}
