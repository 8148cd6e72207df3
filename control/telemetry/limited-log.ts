/** A log for what strangers cause: lines beyond a number in a time are counted, not written. */
import type { Log } from '../../shared/log/log.ts';

const WINDOW_MS = 10_000;
const LINES = 20;

/**
 * @param now milliseconds since the epoch
 * @param what the lines are about, as `refused connections`
 * @param lines the most in a window of ten seconds
 */
export function limitedLog(log: Log, now: () => number, what: string, lines = LINES): Log {
  let since = Number.NEGATIVE_INFINITY;
  let written = 0;
  let omitted = 0;
  return (message, level, fields) => {
    if (now() - since >= WINDOW_MS) {
      if (omitted > 0)
        log(`${omitted} more ${what} in the ${WINDOW_MS / 1000} s from ${new Date(since).toISOString()}`);
      [since, written, omitted] = [now(), 0, 0];
    }
    if (written === lines) {
      omitted += 1;
      return;
    }
    written += 1;
    log(message, level, fields);
  };
}
