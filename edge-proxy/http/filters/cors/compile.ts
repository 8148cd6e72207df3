import { wireText } from '../../../../shared/match/wire.ts';
import type { CorsPolicy } from '../../../../shared/xds/http-filters.ts';
import { ConfigFault } from '../../../config-error.ts';
import { shareOf } from '../../../xds/route/compile-route-match.ts';
import { compileStringMatcher } from '../../matchers.ts';
import type { Located } from '../definition.ts';
import type { RouteCors } from './filter.ts';

/**
 * The first policy switches on or off; what it leaves out, the next one says (Envoy's cors filter).
 * @returns undefined where it is switched off
 */
export function compileCors(policies: readonly [Located<CorsPolicy>, ...Located<CorsPolicy>[]]): RouteCors | undefined {
  const [{ config: first, path }, ...others] = policies;
  const cors: CorsPolicy = { ...first };
  for (const { config } of others) {
    if (!cors.allowOriginStringMatch?.length) cors.allowOriginStringMatch = config.allowOriginStringMatch;
    cors.allowMethods ||= config.allowMethods;
    cors.allowHeaders ||= config.allowHeaders;
    cors.exposeHeaders ||= config.exposeHeaders;
    cors.maxAge ||= config.maxAge;
    cors.allowCredentials ??= config.allowCredentials;
    cors.forwardNotMatchingPreflights ??= config.forwardNotMatchingPreflights;
  }
  const share = cors.filterEnabled ? shareOf(cors.filterEnabled.defaultValue) : 1;
  if (share === 0) return undefined;
  if (share < 1) throw new ConfigFault(`${path}.filterEnabled`, 'only 0 or 100 percent are supported');
  const origins = (cors.allowOriginStringMatch ?? []).map((one, i) =>
    compileStringMatcher(one, `${path}.allowOriginStringMatch[${i}]`),
  );
  return {
    allowsOrigin: (origin) => origins.some((allows) => allows(origin)),
    preflightHeaders: preflightHeaders(cors),
    allowCredentials: cors.allowCredentials ?? false,
    exposeHeaders: wireText(cors.exposeHeaders ?? ''),
    forwardNotMatchingPreflights: cors.forwardNotMatchingPreflights ?? true,
  };
}

function preflightHeaders(cors: CorsPolicy): RouteCors['preflightHeaders'] {
  return {
    ...(cors.allowCredentials && { 'access-control-allow-credentials': 'true' }),
    ...(cors.allowMethods && { 'access-control-allow-methods': wireText(cors.allowMethods) }),
    ...(cors.allowHeaders && { 'access-control-allow-headers': wireText(cors.allowHeaders) }),
    ...(cors.maxAge && { 'access-control-max-age': wireText(cors.maxAge) }),
  };
}
