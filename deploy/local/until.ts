/**
 * Waits until `check` answers something other than undefined or false; an exception counts as "not yet".
 * @throws Error naming `what` and the last exception after `limitMs`
 */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 120_000,
): Promise<T> {
  const limit = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > limit) {
      const why = last === undefined ? '' : ` (${last})`;
      throw new Error(`not within ${limitMs / 1000} s: ${what}${why}`, { cause: last });
    }
    await new Promise((again) => setTimeout(again, 25));
  }
}
