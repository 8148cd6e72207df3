/** What attributes are read from. A record is filled while its traffic flows: what is not known yet is undefined, '' or 0. */
import type { RequestContext } from '../http/stream.ts';
import type { AcceptedConnection, ConnectionRecord } from '../tcp/connection-record.ts';

/** A finished, or running, request or connection. */
export type TrafficRecord = RequestContext | ConnectionRecord;

/** A request, or a connection whose bytes are not HTTP, before anything is known but who sent it and what it asks for. */
export type IncomingTraffic = RequestContext | AcceptedConnection;
