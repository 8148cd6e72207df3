/** The control plane's log of joins, refusals, proxies and writes. */
import type { Log } from '../../shared/log/log.ts';
import type { ControlEvents } from './events.ts';
import { limitedLog } from './limited-log.ts';

const MAX_REASON = 500;

/** @param now milliseconds since the epoch */
export function controlLog(log: Log, now: () => number): Partial<ControlEvents> {
  // Anyone who reaches the port can cause these.
  const refusal = limitedLog(log, now, 'refused requests');
  return {
    answered({ method, path, status, caller, address, reason }) {
      const fields = { method, path: path.slice(0, MAX_REASON), status, caller, address };
      if (status >= 400) refusal('request refused', 'warn', { ...fields, reason: reason?.slice(0, MAX_REASON) });
      else if (caller === 'admin' && method !== 'GET' && method !== 'HEAD') log('written by the admin', 'info', fields);
      else log('request', 'debug', fields);
    },
    issued({ identity, proof, document, expires }) {
      log(`${document} issued`, 'info', { identity, proof, expires: new Date(expires).toISOString() });
    },
    connected: (fields) => log('proxy connected', 'info', fields),
    disconnected: (fields) => log('proxy closed its connection', 'info', fields),
    pushed: (fields) => log('push', 'debug', fields),
    rejected: ({ node, type, reason }) =>
      log('config refused by a proxy', 'warn', { node, type, reason: reason.slice(0, MAX_REASON) }),
  };
}
