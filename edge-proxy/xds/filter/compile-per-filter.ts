/** typedPerFilterConfig -> what the fault, cors and buffer filters find in a route. */
import { wireText } from '../../../shared/match/wire.ts';
import { durationMs } from '../../../shared/xds/message.ts';
import type { Route } from '../../../shared/xds/route.ts';
import { ConfigFault, faultAt } from '../../config-error.ts';
import { compileHttpRbac } from '../../http/filters/rbac.ts';
import { compileStringMatcher } from '../../http/matchers.ts';
import type { RouteBuffer, RouteCors, RouteFault, RouteRbac } from '../../http/route-table.ts';
import type { Hold } from '../../http/stream.ts';
import { shareOf } from '../route/compile-route-match.ts';

type PerFilter = NonNullable<Route['typedPerFilterConfig']>;
type Fault = Extract<PerFilter[string], { '@type': `${string}HTTPFault` }>;
type Cors = Extract<PerFilter[string], { '@type': `${string}CorsPolicy` }>;
type Rbac = Extract<PerFilter[string], { '@type': `${string}RBACPerRoute` }>;
type Buffer = Extract<PerFilter[string], { '@type': `${string}BufferPerRoute` }>;

export interface CompiledPerFilter {
  fault: RouteFault | undefined;
  cors: RouteCors | undefined;
  buffer: RouteBuffer | undefined;
  rbac: RouteRbac | undefined;
}

/** `levels`: route first, then virtual host, then table; the first that configures a filter counts. */
export function compilePerFilter(
  levels: readonly { path: string; config: PerFilter | undefined }[],
): CompiledPerFilter {
  const found: CompiledPerFilter = { fault: undefined, cors: undefined, buffer: undefined, rbac: undefined };
  const policies: { policy: Cors; path: string }[] = [];
  for (const { path, config } of levels) {
    for (const [name, entry] of Object.entries(config ?? {})) {
      const at = `${path}.typedPerFilterConfig["${name}"]`;
      if (isFault(entry)) found.fault ??= compileFault(entry, at);
      else if (isBuffer(entry)) found.buffer ??= compileBuffer(entry, at);
      else if (isRbac(entry)) found.rbac ??= compileRbac(entry, at);
      else policies.push({ policy: entry as Cors, path: at });
    }
  }
  if (policies.length > 0) found.cors = compileCors(policies);
  return found;
}

function isFault(entry: PerFilter[string]): entry is Fault {
  return entry['@type'].endsWith('HTTPFault');
}

function isRbac(entry: PerFilter[string]): entry is Rbac {
  return entry['@type'].endsWith('RBACPerRoute');
}

function compileRbac({ rbac }: Rbac, path: string): RouteRbac {
  return { judge: rbac && faultAt(`${path}.rbac`, () => compileHttpRbac(rbac)) };
}

function isBuffer(entry: PerFilter[string]): entry is Buffer {
  return entry['@type'].endsWith('BufferPerRoute');
}

/** One of both, and `disabled` only as true, as Envoy's validation rules say. */
function compileBuffer({ disabled, buffer }: Buffer, path: string): RouteBuffer {
  if ((disabled === undefined) === (buffer === undefined) || disabled === false)
    throw new ConfigFault(path, 'must have either buffer or disabled: true');
  return { hold: buffer && compileHold(buffer, `${path}.buffer.`) };
}

/** @param path with its dot, '' for the filter's own config */
export function compileHold({ maxRequestBytes }: { maxRequestBytes: number }, path: string): Hold {
  if (maxRequestBytes === 0) throw new ConfigFault(`${path}maxRequestBytes`, 'must be greater than 0');
  return { holdBytes: maxRequestBytes };
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

/**
 * The first policy switches on or off; what it leaves out, the next one says (Envoy's cors filter).
 * @returns undefined where it is switched off
 */
function compileCors(policies: readonly { policy: Cors; path: string }[]): RouteCors | undefined {
  const { policy: first, path } = policies[0]!;
  const cors: Cors = { ...first };
  for (const { policy } of policies.slice(1)) {
    if (!cors.allowOriginStringMatch?.length) cors.allowOriginStringMatch = policy.allowOriginStringMatch;
    cors.allowMethods ||= policy.allowMethods;
    cors.allowHeaders ||= policy.allowHeaders;
    cors.exposeHeaders ||= policy.exposeHeaders;
    cors.maxAge ||= policy.maxAge;
    cors.allowCredentials ??= policy.allowCredentials;
    cors.forwardNotMatchingPreflights ??= policy.forwardNotMatchingPreflights;
  }
  const share = cors.filterEnabled ? shareOf(cors.filterEnabled.defaultValue) : 1;
  if (share === 0) return undefined;
  if (share < 1) throw new ConfigFault(`${path}.filterEnabled`, 'only 0 or 100 percent are supported');
  const origins = (cors.allowOriginStringMatch ?? []).map((one, i) =>
    compileStringMatcher(one, `${path}.allowOriginStringMatch[${i}]`),
  );
  const preflightHeaders = {
    ...(cors.allowCredentials && { 'access-control-allow-credentials': 'true' }),
    ...(cors.allowMethods && { 'access-control-allow-methods': wireText(cors.allowMethods) }),
    ...(cors.allowHeaders && { 'access-control-allow-headers': wireText(cors.allowHeaders) }),
    ...(cors.maxAge && { 'access-control-max-age': wireText(cors.maxAge) }),
  };
  return {
    allowsOrigin: (origin) => origins.some((allows) => allows(origin)),
    preflightHeaders,
    allowCredentials: cors.allowCredentials ?? false,
    exposeHeaders: wireText(cors.exposeHeaders ?? ''),
    forwardNotMatchingPreflights: cors.forwardNotMatchingPreflights ?? true,
  };
}
