/** Flags of the limits for each identity. */
import type { Command } from 'commander';
import { IDENTITY_LIMITS, type IdentityLimitsSettings } from '../../api/server/identity-limits.ts';
import { CliError } from '../cli-error.ts';

export interface LimitFlags {
  maxRequestsInflightPerIdentity: string;
  maxWatchesPerIdentity: string;
  maxRequestsPerSecondPerIdentity: string;
  maxAnonymousRequestsPerSecond: string;
  maxFailedTokensPerSecond: string;
}

/** Adds the flags to `tulle control`. */
export function limitOptions(command: Command): Command {
  const { inFlight, watches, perSecond, anonymousPerSecond, failedTokensPerSecond } = IDENTITY_LIMITS;
  return command
    .option(
      '--max-requests-inflight-per-identity <number>',
      'most requests of one user or workload at a time, without watches; 0, here and below: no limit',
      String(inFlight),
    )
    .option('--max-watches-per-identity <number>', 'most open watches of one user', String(watches))
    .option(
      '--max-requests-per-second-per-identity <number>',
      'requests of one user or workload; five times as many at once',
      String(perSecond),
    )
    .option(
      '--max-anonymous-requests-per-second <number>',
      'requests of one address that prove no identity; five times as many at once',
      String(anonymousPerSecond),
    )
    .option(
      '--max-failed-tokens-per-second <number>',
      'tokens of one address that are refused; twenty times as many at once',
      String(failedTokensPerSecond),
    );
}

/** @throws CliError naming the flag */
export function limitsOf(flags: LimitFlags): IdentityLimitsSettings {
  return {
    inFlight: numberOf('--max-requests-inflight-per-identity', flags.maxRequestsInflightPerIdentity),
    watches: numberOf('--max-watches-per-identity', flags.maxWatchesPerIdentity),
    perSecond: numberOf('--max-requests-per-second-per-identity', flags.maxRequestsPerSecondPerIdentity),
    anonymousPerSecond: numberOf('--max-anonymous-requests-per-second', flags.maxAnonymousRequestsPerSecond),
    failedTokensPerSecond: numberOf('--max-failed-tokens-per-second', flags.maxFailedTokensPerSecond),
  };
}

function numberOf(flag: string, text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text);
  throw new CliError(`${flag} ${text}: must be a whole number from 0 to 9999999`);
}
