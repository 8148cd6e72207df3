/** Resolves after the event loop has done what has come up: reads, timers, other requests. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
