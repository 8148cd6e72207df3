/**
 * The events of a request. Access log, metrics, spans and outlier detection subscribe when a listener is compiled; an event
 * without a subscriber costs one test for undefined.
 */
import { type Handler, joinHandlers } from '../telemetry/event.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import type { Outcome } from '../upstream/outlier/outlier-detection.ts';
import type { Addresses, ResetReason } from './message/stream.ts';
import type { RequestContext } from './stream.ts';

/** Why an attempt was begun; `call`: a filter's own call to a cluster, which is no event of a request. */
export type AttemptCause = 'first' | 'retry' | 'hedge' | 'mirror' | 'call';

/**
 * How an attempt ended. `complete`: its response came whole; `discarded`: its response was passed over for another
 * attempt; `timeout`: it took longer than an attempt may; `abandoned`: the request ended without it (the client left, the
 * route's timeout, another attempt answered); else the reset of its stream.
 */
export type AttemptEnd = 'complete' | 'discarded' | 'timeout' | 'abandoned' | ResetReason;

/** One sending of a request to one endpoint. */
export interface AttemptRecord {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  /** 1 for the first of its request. */
  readonly number: number;
  readonly cause: AttemptCause;
  /** The connection, from the time there is a stream until that ends. */
  readonly addresses: Addresses | undefined;
  /** Monotonic milliseconds, from the choice of the endpoint on: the wait for a connection counts. */
  readonly startMs: number;
  /** Known with `attemptEnded`. */
  readonly endMs: number;
  /** Of its response; 0: none came. */
  readonly status: number;
  /** undefined while it is under way. */
  readonly end: AttemptEnd | undefined;
}

export interface RequestObserver {
  /** The head has come; nothing of it was normalised, judged or changed yet. */
  started?(request: RequestContext): void;
  /** The route is chosen (`request.route`, null: none); the filters are asked next. */
  routed?(request: RequestContext): void;
  attemptStarted?(request: RequestContext, attempt: AttemptRecord): void;
  /**
   * Input of outlier detection; of mirrors too, which may outlast their request and have no other event. A response that breaks off gives two: its status, then `reset`.
   */
  attemptOutcome?(request: RequestContext, attempt: AttemptRecord, outcome: Outcome): void;
  /** Once for every `attemptStarted`, before `finished`. */
  attemptEnded?(request: RequestContext, attempt: AttemptRecord): void;
  /** The head of the response goes to the client. Not called where the client left before. */
  responseStarted?(request: RequestContext): void;
  /** Last, and once for every `started`. `request.endMs` is set. */
  finished?(request: RequestContext): void;
}

/** The observers of one listener, joined per event. */
export interface RequestEvents {
  readonly started: Handler<RequestContext> | undefined;
  readonly routed: Handler<RequestContext> | undefined;
  readonly attemptStarted: Handler<RequestContext, AttemptRecord> | undefined;
  readonly attemptOutcome: Handler<RequestContext, AttemptRecord, Outcome> | undefined;
  readonly attemptEnded: Handler<RequestContext, AttemptRecord> | undefined;
  readonly responseStarted: Handler<RequestContext> | undefined;
  readonly finished: Handler<RequestContext> | undefined;
}

/** @param onError reports an exception in an observer */
export function compileObservers(
  observers: readonly RequestObserver[],
  onError: (error: unknown) => void,
): RequestEvents {
  return {
    started: joinHandlers(
      observers.map((one) => one.started?.bind(one)),
      onError,
    ),
    routed: joinHandlers(
      observers.map((one) => one.routed?.bind(one)),
      onError,
    ),
    attemptStarted: joinHandlers<RequestContext, AttemptRecord>(
      observers.map((one) => one.attemptStarted?.bind(one)),
      onError,
    ),
    attemptOutcome: joinHandlers<RequestContext, AttemptRecord, Outcome>(
      observers.map((one) => one.attemptOutcome?.bind(one)),
      onError,
    ),
    attemptEnded: joinHandlers<RequestContext, AttemptRecord>(
      observers.map((one) => one.attemptEnded?.bind(one)),
      onError,
    ),
    responseStarted: joinHandlers(
      observers.map((one) => one.responseStarted?.bind(one)),
      onError,
    ),
    finished: joinHandlers(
      observers.map((one) => one.finished?.bind(one)),
      onError,
    ),
  };
}

/** Tells a cluster's outlier detection, and its endpoint's counters, what became of an attempt. */
export const outlierObserver: RequestObserver = {
  attemptOutcome: (_request, { cluster, endpoint }, outcome) => cluster.report(endpoint, outcome),
};
