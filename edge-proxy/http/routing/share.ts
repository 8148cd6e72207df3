/** Shares of requests (envoy.type.v3.FractionalPercent). */
import type { FractionalPercent } from '../../../shared/xds/core.ts';

const DENOMINATOR = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const;

/** 0 to 1; an absent fraction is 0, as in proto3. */
export function shareOf(fraction: FractionalPercent | undefined): number {
  return Math.min(1, (fraction?.numerator ?? 0) / DENOMINATOR[fraction?.denominator ?? 'HUNDRED']);
}
