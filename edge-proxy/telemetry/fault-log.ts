/** Faults of our own while a request is served: answered with 500, and told here so that they can be found. */

const PAUSE_MS = 10_000;
const FRAMES = 3;

/**
 * Writes one line for a fault, at most one in ten seconds, with how many were left out. The error's own text stays out:
 * it could quote what a client sent. Its name and where it was thrown are enough to find it.
 *
 * @param where as `listener virtualInbound`
 */
export function faultLog(
  where: string,
  write: (line: string) => void,
  monotonicMs: () => number,
): (error: unknown) => void {
  let quietUntil = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (error) => {
    const now = monotonicMs();
    if (now < quietUntil) {
      unsaid++;
      return;
    }
    quietUntil = now + PAUSE_MS;
    const more = unsaid > 0 ? ` (and ${unsaid} more before)` : '';
    unsaid = 0;
    write(`tulle: ${where}: a request failed within the proxy: ${placeOf(error)}${more}`);
  };
}

/** `TypeError at f (router.ts:1:2), g (…)`: V8 writes `    at f (file)`, JavaScriptCore `f@file`, both behind the text. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const behind = (error.stack ?? '').replace(`${error.name}: ${error.message}`, '').split('\n');
  const frames = behind.map((line) => line.trim().replace(/^at /, '')).filter((line) => /:\d+:\d+\)?$/.test(line));
  return `${error.name}${frames.length > 0 ? ` at ${frames.slice(0, FRAMES).join(', ')}` : ''}`;
}
