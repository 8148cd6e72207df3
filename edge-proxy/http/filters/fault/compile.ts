import type { HttpFault } from '../../../../shared/xds/http-filters.ts';
import { durationMs } from '../../../../shared/xds/message.ts';
import { ConfigFault } from '../../../config-error.ts';
import { shareOf } from '../../../xds/route/compile-route-match.ts';
import type { RouteFault } from './filter.ts';

/** Throws ConfigFault for a status that no response has. */
export function compileFault({ delay, abort }: HttpFault, path: string): RouteFault {
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
