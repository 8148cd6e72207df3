import type { Session } from './session.ts';

/** Between two polls a healthy proxy is away for as long as applying config takes. */
const BETWEEN_POLLS_MS = 10_000;

/** A poll is being held right now, or ended less than a moment ago. @param now milliseconds since the epoch */
export function isConnected(session: Session, now: number): boolean {
  return session.connected || now - session.lastSeen < BETWEEN_POLLS_MS;
}
