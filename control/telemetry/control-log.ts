/** The control plane's log of joins, refusals, proxies and writes. */
import type { Log } from '../../shared/log/log.ts';
import type { ControlEvents } from './events.ts';
import { limitedLog, limitedLogBySource } from './limited-log.ts';

const MAX_REASON = 500;
const PROXY_LINES = 1000;

const REGISTRATIONS = {
  created: 'machine registered',
  updated: 'machine registered again',
  disconnected: 'registered machine left',
  deleted: 'machine no longer registered',
  conflict: 'machine refused: its address is in use',
  label: 'machine registered without a label',
  error: 'machine not registered',
} as const;

/** @param now milliseconds since the epoch */
export function controlLog(log: Log, now: () => number): Partial<ControlEvents> {
  // Anyone who reaches the port can cause these.
  const refusal = limitedLog(log, now, 'refused requests');
  // A workload can cause these; a thousand proxies may start at once.
  const issue = limitedLogBySource(log, now, 'issued documents');
  const join = limitedLog(log, now, 'joins', PROXY_LINES);
  const registration = limitedLog(log, now, 'registrations', PROXY_LINES);
  const connection = limitedLog(log, now, 'connections of proxies', PROXY_LINES);
  const rejection = limitedLog(log, now, 'refusals of config');
  return {
    answered({ method, path, status, caller, isUser, address, dryRun, reason }) {
      const fields = { method, path: path.slice(0, MAX_REASON), status, caller, address };
      // `apply` asks whether a resource exists before it creates it.
      const isAbsent = status === 404 && isUser && method === 'GET';
      if (status >= 400 && !isAbsent)
        refusal('request refused', 'warn', { ...fields, reason: reason?.slice(0, MAX_REASON) });
      else if (isUser && !dryRun && method !== 'GET' && method !== 'HEAD') log('written by a user', 'info', fields);
      else log('request', 'debug', fields);
    },
    issued({ identity, proof, document, expires }) {
      issue(identity, `${document} issued`, 'info', { identity, proof, expires: new Date(expires).toISOString() });
    },
    joined: ({ group, ...fields }) =>
      join('machine joined', 'info', { ...fields, ...(group !== undefined && { group }) }),
    registration: ({ what, entry, reason }) =>
      registration(REGISTRATIONS[what], reason === undefined ? 'info' : 'warn', {
        entry,
        ...(reason !== undefined && { reason: reason.slice(0, MAX_REASON) }),
      }),
    connected: (fields) => connection('proxy connected', 'info', fields),
    disconnected: (fields) => connection('proxy closed its connection', 'info', fields),
    pushed: (fields) => log('push', 'debug', fields),
    rejected: ({ node, type, reason }) =>
      rejection('config refused by a proxy', 'warn', { node, type, reason: reason.slice(0, MAX_REASON) }),
  };
}
