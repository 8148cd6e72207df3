/** A log for what strangers cause: lines beyond a number in a time are counted, not written. */
const WINDOW_MS = 10_000;
const LINES = 20;

/** @param now milliseconds since the epoch */
export function limitedLog(log: (line: string) => void, now: () => number): (line: string) => void {
  let since = Number.NEGATIVE_INFINITY;
  let written = 0;
  let omitted = 0;
  return (line) => {
    if (now() - since >= WINDOW_MS) {
      if (omitted > 0) log(`${omitted} more refused connections in the ${WINDOW_MS / 1000} s from ${rfc3339(since)}`);
      [since, written, omitted] = [now(), 0, 0];
    }
    if (written === LINES) {
      omitted += 1;
      return;
    }
    written += 1;
    log(line);
  };
}

const rfc3339 = (milliseconds: number): string => new Date(milliseconds).toISOString();
