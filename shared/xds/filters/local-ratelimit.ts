/** envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, of a connection manager and of a route; without descriptors. */
import type { z } from 'zod';
import { HeaderValueOption, RuntimeFractionalPercent } from '../core.ts';
import { bool, duration, enumeration, list, messageRequiring, nonEmpty, uint32 } from '../message.ts';
import { HttpStatus } from './ext-authz.ts';

/** envoy.type.v3.TokenBucket */
const TokenBucket = messageRequiring({ maxTokens: uint32(), tokensPerFill: uint32(), fillInterval: duration() }, [
  'maxTokens',
  'fillInterval',
]);
export type TokenBucket = z.infer<typeof TokenBucket>;

export const LocalRateLimit = messageRequiring(
  {
    statPrefix: nonEmpty(),
    status: HttpStatus,
    tokenBucket: TokenBucket,
    filterEnabled: RuntimeFractionalPercent,
    filterEnforced: RuntimeFractionalPercent,
    requestHeadersToAddWhenNotEnforced: list(HeaderValueOption),
    responseHeadersToAdd: list(HeaderValueOption),
    localRateLimitPerDownstreamConnection: bool(),
    enableXRatelimitHeaders: enumeration(['OFF', 'DRAFT_VERSION_03']),
    rateLimitedAsResourceExhausted: bool(),
  },
  ['statPrefix'],
);
export type LocalRateLimit = z.infer<typeof LocalRateLimit>;
