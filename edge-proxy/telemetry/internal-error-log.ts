/** Logs internal errors of request handling (answered with 500); details are not sent to clients. */

const PAUSE_MS = 10_000;
const FRAMES = 3;

/**
 * Writes one line per internal error, at most one in ten seconds, with the number suppressed. The error's text is left out:
 * it could quote what a client sent. Its name and stack frames locate it.
 *
 * @param where as `listener virtualInbound`
 */
export function internalErrorLog(
  where: string,
  log: (message: string, level: 'error') => void,
  monotonicMs: () => number,
): (error: unknown) => void {
  let quietUntil = Number.NEGATIVE_INFINITY;
  let suppressed = 0;
  return (error) => {
    const now = monotonicMs();
    if (now < quietUntil) {
      suppressed++;
      return;
    }
    quietUntil = now + PAUSE_MS;
    const more = suppressed > 0 ? ` (and ${suppressed} more before)` : '';
    suppressed = 0;
    log(`${where}: a request failed within the proxy: ${placeOf(error)}${more}`, 'error');
  };
}

/** `TypeError at f (router.ts:1:2), g (…)`: V8 writes `    at f (file)`, JavaScriptCore `f@file`, both behind the text. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const behind = (error.stack ?? '').replace(`${error.name}: ${error.message}`, '').split('\n');
  const frames = behind.map((line) => line.trim().replace(/^at /, '')).filter((line) => /:\d+:\d+\)?$/.test(line));
  return `${error.name}${frames.length > 0 ? ` at ${frames.slice(0, FRAMES).join(', ')}` : ''}`;
}
