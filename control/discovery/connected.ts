import type { Session } from './session.ts';

/** Between two polls a healthy proxy is away for as long as applying config takes. */
const BETWEEN_POLLS_MS = 10_000;

/** A proxy whose connection has closed may come back at once by another one. */
const AFTER_CLOSE_MS = 1000;

/**
 * As `isConnected`, and soon false after the connection was closed.
 * @param now milliseconds since the epoch
 */
export function hasConnection(session: Session, now: number): boolean {
  if (session.polls > 0) return true;
  return session.leftAt === undefined ? isConnected(session, now) : now - session.leftAt < AFTER_CLOSE_MS;
}

/** A poll is being held right now, or ended less than a moment ago. @param now milliseconds since the epoch */
export function isConnected(session: Session, now: number): boolean {
  return session.connected || now - session.lastSeen < BETWEEN_POLLS_MS;
}
