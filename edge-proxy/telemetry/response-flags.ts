/** Envoy's response flags in their long form (envoyproxy.io, access log, %RESPONSE_FLAGS_LONG%). */
import type { ResponseFlag } from '../http/stream.ts';

/** Flags by their number (CoreResponseFlag in Envoy's stream_info.h); two of Envoy's have no cause in this proxy. */
const NUMBERED: readonly (ResponseFlag | undefined)[] = [
  ...(['LH', 'UH', 'UT', 'LR', 'UR', 'UF', 'UC', 'UO', 'NR', 'DI', 'FI', 'RL', 'UAEX', 'RLSE', 'DC', 'URX'] as const),
  ...(['SI', 'IH', 'DPE', 'UMSDR', undefined, undefined, 'DT', 'UPE', 'NC', 'OM', 'DF', 'DO', 'DR'] as const),
];

/** Flags as Envoy's bit vector. */
export function flagBits(flags: readonly ResponseFlag[]): number {
  let bits = 0;
  for (const flag of flags) bits |= 1 << NUMBERED.indexOf(flag);
  return bits;
}

export const LONG_FLAGS: Readonly<Record<ResponseFlag, string>> = {
  UH: 'NoHealthyUpstream',
  UF: 'UpstreamConnectionFailure',
  UO: 'UpstreamOverflow',
  NR: 'NoRouteFound',
  URX: 'UpstreamRetryLimitExceeded',
  NC: 'NoClusterFound',
  DT: 'DurationTimeout',
  DC: 'DownstreamConnectionTermination',
  LH: 'FailedLocalHealthCheck',
  UT: 'UpstreamRequestTimeout',
  LR: 'LocalReset',
  UR: 'UpstreamRemoteReset',
  UC: 'UpstreamConnectionTermination',
  DI: 'DelayInjected',
  FI: 'FaultInjected',
  RL: 'RateLimited',
  UAEX: 'UnauthorizedExternalService',
  RLSE: 'RateLimitServiceError',
  IH: 'InvalidEnvoyRequestHeaders',
  SI: 'StreamIdleTimeout',
  DPE: 'DownstreamProtocolError',
  UPE: 'UpstreamProtocolError',
  UMSDR: 'UpstreamMaxStreamDurationReached',
  OM: 'OverloadManagerTerminated',
  DF: 'DnsResolutionFailed',
  DO: 'DropOverload',
  DR: 'DownstreamRemoteReset',
};
