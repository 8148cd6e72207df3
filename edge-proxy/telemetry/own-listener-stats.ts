/** Connections that were refused because they would have come to a listener of this process. */
import type { Stats } from './stats.ts';

const PAUSE_MS = 10_000;

/**
 * Counts each as `cluster_manager.own_listener_connect_refused`; writes a line at most every ten seconds, with how many
 * were left out.
 */
export function ownListenerRefusals(
  stats: Stats,
  log: (message: string) => void,
  monotonicMs: () => number,
): (listener: string) => void {
  const refused = stats.scope('cluster_manager').counter('own_listener_connect_refused');
  let quietUntil = Number.NEGATIVE_INFINITY;
  let unwritten = 0;
  return (listener) => {
    refused.value++;
    const now = monotonicMs();
    if (now < quietUntil) {
      unwritten++;
      return;
    }
    quietUntil = now + PAUSE_MS;
    const more = unwritten > 0 ? ` (and ${unwritten} more before)` : '';
    unwritten = 0;
    log(`connection refused: its destination is listener ${listener} of this proxy${more}`);
  };
}
