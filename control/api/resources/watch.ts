/** Watch: newline-delimited JSON events (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes). */
import type { Resource } from '../../../shared/resources/resource.ts';
import { type ResourceStore, StoreError, type WatchEvent } from '../../store/store.ts';
import { pushBody } from '../push-body.ts';
import { inVersion, selectionOf, type Target } from './kinds.ts';
import type { OpenWatches } from './open-watches.ts';
import type { Selectors } from './selectors.ts';
import { ApiError, expired } from './status.ts';

export interface WatchRequest {
  target: Target;
  selectors: Selectors;
  /** undefined: begin with an ADDED event for every existing resource. */
  fromRevision: number | undefined;
  /** Send a bookmark after the initial events, named as their end. */
  markInitialEnd: boolean;
  /** Milliseconds between bookmarks; undefined: none. */
  bookmarkMs?: number | undefined;
  timeoutMs: number;
  /** One resource in the form the client requested: plain, or a Table of one row. */
  present: (resource: Resource) => unknown;
  /** Names `present`: requests for one kind and version that have the same name here present resources alike. */
  presentation: string;
}

type Line = { type: WatchEvent['type'] | 'BOOKMARK' | 'ERROR'; object: unknown };

const encoder = new TextEncoder();
const encode = (line: Line): Uint8Array => encoder.encode(`${JSON.stringify(line)}\n`);

/** Lines of an event that several watchers wait for, by form. Collected with the event. */
const encoded = new WeakMap<WatchEvent, Map<string, Uint8Array>>();

/** An event is serialised once for all watchers of the same form. */
function encodeEvent(event: WatchEvent, type: WatchEvent['type'], request: WatchRequest): Uint8Array {
  let forms = encoded.get(event);
  if (!forms) encoded.set(event, (forms = new Map()));
  const form = `${type} ${request.target.apiVersion} ${request.presentation}`;
  let line = forms.get(form);
  if (!line) {
    line = encode({ type, object: request.present(inVersion(request.target, event.resource)) });
    forms.set(form, line);
  }
  return line;
}

/** As often as Kubernetes sends them. */
export const BOOKMARK_MS = 60_000;

/** Who ends a watch, and where its failures go. */
export interface WatchEnvironment {
  client: AbortSignal | undefined;
  open?: OpenWatches;
  report: (error: unknown) => void;
}

/** The body of a watch response. It ends at the timeout, or when `client` aborts, or after an ERROR event. */
export function watchBody(
  store: ResourceStore,
  request: WatchRequest,
  { client, open, report }: WatchEnvironment,
): ReadableStream<Uint8Array> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  const closed = open?.add(abort);
  const timer = setTimeout(abort, request.timeoutMs);
  client?.addEventListener('abort', abort);
  if (client?.aborted) abort();
  const finish = () => {
    clearTimeout(timer);
    client?.removeEventListener('abort', abort);
    abort();
    closed?.();
  };
  return pushBody({ chunks: watchLines(store, request, stop.signal, report, finish), cancel: finish });
}

async function* watchLines(
  store: ResourceStore,
  request: WatchRequest,
  signal: AbortSignal,
  report: (error: unknown) => void,
  finish: () => void,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    const shown = new Set<string>();
    let from = request.fromRevision;
    if (from === undefined) {
      const { items, revision } = await store.list(selectionOf(request.target));
      for (const resource of items.filter(request.selectors.matches)) {
        shown.add(identity(resource));
        yield encode({ type: 'ADDED', object: request.present(inVersion(request.target, resource)) });
      }
      from = revision;
      if (request.markInitialEnd)
        yield encode(bookmark(request.target, revision, { 'k8s.io/initial-events-end': 'true' }));
    }
    const complete = request.fromRevision === undefined;
    const changes = store.watch(selectionOf(request.target), from, signal);
    const { bookmarkMs } = request;
    // Without bookmarks no generator is between: it would cost as much as the event itself.
    for await (const event of bookmarkMs === undefined ? changes : withBookmarks(store, changes, from, bookmarkMs)) {
      if (typeof event === 'number') {
        yield encode(bookmark(request.target, event));
        continue;
      }
      const type = request.selectors.changeable
        ? typeFor(event, request.selectors, shown, complete)
        : plainType(event, request);
      if (type) yield encodeEvent(event, type, request);
    }
  } catch (error) {
    // The store is closed at a stop, and the answer ends as at its timeout.
    if (signal.aborted) return;
    yield encode({ type: 'ERROR', object: failure(error, report) });
  } finally {
    finish();
  }
}

/**
 * Events, and between them, as numbers, revisions up to which there are no more: the store's own of one interval before. So
 * long a store may take to deliver an event.
 */
async function* withBookmarks(
  store: ResourceStore,
  changes: AsyncIterable<WatchEvent>,
  from: number,
  everyMs: number,
): AsyncGenerator<WatchEvent | number, void, void> {
  const events = changes[Symbol.asyncIterator]();
  let sent = from;
  let before = from;
  let tick = () => {};
  // One timer for the life of the watch: one for each event costs more than the event itself.
  const timer = setInterval(() => tick(), everyMs);
  let next = events.next();
  try {
    for (;;) {
      const event = await new Promise<IteratorResult<WatchEvent> | undefined>((resolve, reject) => {
        tick = () => resolve(undefined);
        next.then(resolve, reject);
      });
      if (event === undefined) {
        if (before > sent) yield (sent = before);
        before = await store.revision();
        continue;
      }
      if (event.done) return;
      sent = event.value.revision;
      yield event.value;
      next = events.next();
    }
  } finally {
    clearInterval(timer);
    await events.return?.();
  }
}

function plainType(event: WatchEvent, request: WatchRequest): WatchEvent['type'] | undefined {
  return request.selectors.matches(event.resource) ? event.type : undefined;
}

/**
 * Under a label selector a resource that begins to match is sent as ADDED, and one that ceases to match as DELETED.
 * What the client had before a watch from a revision is unknown (`complete` is false): an unneeded DELETED, which
 * clients ignore, is safer than a missing one.
 */
function typeFor(
  event: WatchEvent,
  selectors: Selectors,
  shown: Set<string>,
  complete: boolean,
): WatchEvent['type'] | undefined {
  const id = identity(event.resource);
  const was = shown.has(id);
  if (event.type === 'DELETED' || !selectors.matches(event.resource)) {
    shown.delete(id);
    const unknown = !complete && event.type !== 'ADDED';
    return was || unknown ? 'DELETED' : undefined;
  }
  shown.add(id);
  if (was) return 'MODIFIED';
  return complete ? 'ADDED' : event.type;
}

const identity = ({ metadata }: Resource) => `${metadata.namespace ?? ''}/${metadata.name}`;

function bookmark(target: Target, revision: number, annotations?: Record<string, string>): Line {
  const metadata = {
    resourceVersion: String(revision),
    creationTimestamp: null,
    ...(annotations === undefined ? {} : { annotations }),
  };
  return { type: 'BOOKMARK', object: { kind: target.kind.kind, apiVersion: target.apiVersion, metadata } };
}

function failure(error: unknown, report: (error: unknown) => void): unknown {
  if (error instanceof StoreError && error.code === 'gone')
    return expired(`too old resource version: ${error.message}`).toStatus();
  report(error);
  return new ApiError(500, 'InternalError', 'the watch failed: list again').toStatus();
}
