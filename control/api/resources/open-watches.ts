/** The watches that are open, so that a stop of the server ends them: clients then see the end of an answer, not a broken one. */

/** For the last bytes to leave before the sockets are closed. */
const FLUSH_MS = 50;
/** A client that does not read holds no stop up longer than this. */
const MAX_MS = 1000;

export class OpenWatches {
  private readonly open = new Map<() => void, Promise<void>>();
  private ended = false;

  /**
   * @param stop ends the watch
   * @returns to call when it has ended
   */
  add(stop: () => void): () => void {
    let ended = () => {};
    const end = new Promise<void>((resolve) => {
      ended = resolve;
    });
    this.open.set(stop, end);
    if (this.ended) stop();
    return () => {
      this.open.delete(stop);
      ended();
    };
  }

  /** Ends all, also those that are opened later. Resolves when their answers have been sent. */
  async end(): Promise<void> {
    this.ended = true;
    if (this.open.size === 0) return;
    const ends = [...this.open.values()];
    for (const stop of [...this.open.keys()]) stop();
    await Promise.race([Promise.all(ends), wait(MAX_MS)]);
    await wait(FLUSH_MS);
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
