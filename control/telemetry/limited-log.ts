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

/** So many sources are distinguished in one window; the others share one limit. */
const SOURCES = 10_000;

/**
 * The same with a limit for each source, so that one that causes many lines does not hide those of others.
 * @param lines the most of one source in a window of ten seconds
 */
export function limitedLogBySource(
  log: Log,
  now: () => number,
  what: string,
  lines = LINES,
): (source: string, ...line: Parameters<Log>) => void {
  let since = Number.NEGATIVE_INFINITY;
  const written = new Map<string, number>();
  const omitted = new Map<string, number>();
  const startWindow = () => {
    for (const [source, count] of omitted)
      log(`${count} more ${what} of ${source} in the ${WINDOW_MS / 1000} s from ${new Date(since).toISOString()}`);
    written.clear();
    omitted.clear();
    since = now();
  };
  return (source, ...line) => {
    if (now() - since >= WINDOW_MS) startWindow();
    const key = written.has(source) || written.size < SOURCES ? source : 'other sources';
    const count = written.get(key) ?? 0;
    if (count === lines) return void omitted.set(key, (omitted.get(key) ?? 0) + 1);
    written.set(key, count + 1);
    log(...line);
  };
}
