/** typedPerFilterConfig -> what the fault and cors filters find in a route. */
import { durationMs } from '../../shared/xds/message.ts';
import type { Route } from '../../shared/xds/route.ts';
import { compileStringMatcher } from '../http/matchers.ts';
import type { RouteCors, RouteFault } from '../http/route-table.ts';
import { shareOf } from './compile-route-match.ts';
import { ConfigFault } from './config-fault.ts';

type PerFilter = NonNullable<Route['typedPerFilterConfig']>;
type Fault = Extract<PerFilter[string], { '@type': `${string}HTTPFault` }>;
type Cors = Extract<PerFilter[string], { '@type': `${string}CorsPolicy` }>;

export interface CompiledPerFilter {
  fault: RouteFault | undefined;
  cors: RouteCors | undefined;
}

/** `levels`: route first, then virtual host; the first that configures a filter counts. */
export function compilePerFilter(
  levels: readonly { path: string; config: PerFilter | undefined }[],
): CompiledPerFilter {
  const found: CompiledPerFilter = { fault: undefined, cors: undefined };
  for (const { path, config } of levels) {
    for (const [name, entry] of Object.entries(config ?? {})) {
      const at = `${path}.typedPerFilterConfig["${name}"]`;
      if (isFault(entry)) found.fault ??= compileFault(entry, at);
      else found.cors ??= compileCors(entry as Cors, at);
    }
  }
  return found;
}

function isFault(entry: PerFilter[string]): entry is Fault {
  return entry['@type'].endsWith('HTTPFault');
}

function compileFault({ delay, abort }: Fault, path: string): RouteFault {
  const abortStatus = abort?.httpStatus ?? 0;
  if (abort && (abortStatus < 200 || abortStatus > 599))
    throw new ConfigFault(`${path}.abort.httpStatus`, 'must be 200 to 599');
  return {
    delayMs: delay?.fixedDelay ? durationMs(delay.fixedDelay) : 0,
    delayShare: delay ? shareOf(delay.percentage) : 0,
    abortStatus,
    abortShare: abort ? shareOf(abort.percentage) : 0,
  };
}

/** Undefined where the policy is switched off. */
function compileCors(cors: Cors, path: string): RouteCors | undefined {
  const share = cors.filterEnabled ? shareOf(cors.filterEnabled.defaultValue) : 1;
  if (share === 0) return undefined;
  if (share < 1) throw new ConfigFault(`${path}.filterEnabled`, 'only 0 or 100 percent are supported');
  const origins = (cors.allowOriginStringMatch ?? []).map((one, i) =>
    compileStringMatcher(one, `${path}.allowOriginStringMatch[${i}]`),
  );
  const preflightHeaders = {
    ...(cors.allowCredentials && { 'access-control-allow-credentials': 'true' }),
    ...(cors.allowMethods && { 'access-control-allow-methods': cors.allowMethods }),
    ...(cors.allowHeaders && { 'access-control-allow-headers': cors.allowHeaders }),
    ...(cors.maxAge && { 'access-control-max-age': cors.maxAge }),
  };
  return {
    allowsOrigin: (origin) => origins.some((allows) => allows(origin)),
    preflightHeaders,
    allowCredentials: cors.allowCredentials ?? false,
    exposeHeaders: cors.exposeHeaders ?? '',
    forwardNotMatchingPreflights: cors.forwardNotMatchingPreflights ?? true,
  };
}
