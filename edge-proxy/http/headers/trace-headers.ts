/**
 * The trace context of a request in its headers: W3C Trace Context (w3.org/TR/trace-context) where spans go to OpenTelemetry,
 * B3 (github.com/openzipkin/b3-propagation) where they go to Zipkin, as Envoy's tracers read and write them. No spans are
 * sent: each proxy takes the place of the sender as the parent of what follows, so that traces of others stay whole.
 */
import type { ManagerTracing, ZipkinConfig } from '../../../shared/xds/telemetry/tracing.ts';
import type { HeaderMap } from '../message/header-map.ts';
import type { TraceReason } from '../request/request-id.ts';

/** What of a request is read and written. */
export interface TracedRequest {
  readonly headers: HeaderMap;
  readonly traceReason: TraceReason;
  /** Lower-case hexadecimal; '': the request has no trace. */
  traceId: string;
  spanId: string;
}

interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

/**
 * A context, or the decision for a new trace. `invalid`: the request came with a context that cannot be read: it is left as it
 * is, and the request has no trace.
 */
type Extracted = SpanContext | { readonly traceId?: undefined; readonly sampled: boolean } | 'invalid';

interface Propagation {
  extract(headers: HeaderMap, traced: boolean): Extracted;
  inject(headers: HeaderMap, span: SpanContext, parent: SpanContext | undefined): void;
  /** Hexadecimal digits of a new trace id. */
  readonly traceIdDigits: 16 | 32;
}

export type TraceHeaders = (request: TracedRequest) => void;

/** @returns undefined where requests get no trace */
export function compileTraceHeaders(tracing: ManagerTracing | undefined): TraceHeaders | undefined {
  const provider = tracing?.provider?.typedConfig;
  if (!provider) return undefined;
  const propagation = provider['@type'].endsWith('.ZipkinConfig') ? b3(provider as ZipkinConfig) : OPEN_TELEMETRY;
  const injects = tracing.noContextPropagation !== true;
  return (request) => {
    const { headers } = request;
    const traced = request.traceReason !== 'none';
    const found = propagation.extract(headers, traced);
    if (found === 'invalid') return;
    const parent = found.traceId === undefined ? undefined : found;
    const span: SpanContext = {
      traceId: parent?.traceId ?? randomHex(propagation.traceIdDigits),
      spanId: randomHex(16),
      sampled: found.sampled,
    };
    request.traceId = span.traceId;
    request.spanId = span.spanId;
    if (injects) propagation.inject(headers, span, parent);
  };
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/i;
const ZEROS = /^0+$/;

const W3C: Propagation = {
  traceIdDigits: 32,
  extract(headers, traced) {
    const received = headers.joined('traceparent');
    if (received === undefined) return { sampled: traced };
    const [, traceId, spanId, flags] = TRACEPARENT.exec(received) ?? [];
    if (!traceId || !spanId || !flags || ZEROS.test(traceId) || ZEROS.test(spanId)) return 'invalid';
    return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
  },
  inject: writeTraceparent,
};

/** In Envoy's tracer for OpenTelemetry a request is sampled where the sender and the proxy both say so. */
const OPEN_TELEMETRY: Propagation = {
  ...W3C,
  extract(headers, traced) {
    const found = W3C.extract(headers, traced);
    return found === 'invalid' ? found : { ...found, sampled: found.sampled && traced };
  },
};

/** `tracestate` is sent on as it came. */
function writeTraceparent(headers: HeaderMap, { traceId, spanId, sampled }: SpanContext): void {
  headers.set('traceparent', `00-${traceId.padStart(32, '0')}-${spanId}-${sampled ? '01' : '00'}`);
}

function b3({ traceId128bit = false, traceContextOption }: ZipkinConfig): Propagation {
  const withW3c = traceContextOption === 'USE_B3_WITH_W3C_PROPAGATION';
  return {
    traceIdDigits: traceId128bit ? 32 : 16,
    extract(headers, traced) {
      const found = extractB3(headers, traced);
      if (!withW3c || found === 'invalid' || found.traceId !== undefined) return found;
      // Beside B3, a context of W3C's that cannot be read counts for none.
      const w3c = W3C.extract(headers, found.sampled);
      return w3c === 'invalid' ? found : w3c;
    },
    inject(headers, span, parent) {
      writeB3(headers, span, parent);
      if (withW3c) writeTraceparent(headers, span);
    },
  };
}

/** In the form in which it came; a new context has several headers. */
function writeB3(headers: HeaderMap, { traceId, spanId, sampled }: SpanContext, parent: SpanContext | undefined): void {
  const decision = sampled ? '1' : '0';
  if (headers.has('b3')) {
    headers.set('b3', `${traceId}-${spanId}-${decision}${parent ? `-${parent.spanId}` : ''}`);
    return;
  }
  headers.set('x-b3-traceid', traceId);
  headers.set('x-b3-spanid', spanId);
  if (parent) headers.set('x-b3-parentspanid', parent.spanId);
  headers.set('x-b3-sampled', decision);
}

const TRACE_ID = /^(?:[0-9a-f]{32}|[0-9a-f]{16})$/i;
const SPAN_ID = /^[0-9a-f]{16}$/i;

/** The single header counts before the several. */
function extractB3(headers: HeaderMap, traced: boolean): Extracted {
  const single = headers.joined('b3');
  if (single !== undefined) return singleB3(single, traced);
  const traceId = headers.joined('x-b3-traceid');
  const spanId = headers.joined('x-b3-spanid');
  const sampled = sampledB3(headers.joined('x-b3-sampled')) ?? traced;
  if (traceId === undefined || spanId === undefined) return { sampled };
  return contextOf(traceId, spanId, sampled);
}

/** `<trace id>-<span id>[-<sampled>[-<parent span id>]]`, or the decision alone. */
function singleB3(value: string, traced: boolean): Extracted {
  const [traceId = '', spanId, sampled, parent, ...rest] = value.split('-');
  if (spanId === undefined) {
    const alone = sampledB3(traceId);
    return alone === undefined ? 'invalid' : { sampled: alone };
  }
  if (rest.length > 0 || (parent !== undefined && !SPAN_ID.test(parent))) return 'invalid';
  const decided = sampled === undefined ? traced : sampledB3(sampled);
  return decided === undefined ? 'invalid' : contextOf(traceId, spanId, decided);
}

/** `d` is debug, which is sampled. */
function sampledB3(value: string | undefined): boolean | undefined {
  if (value === '1' || value === 'd' || value === 'true') return true;
  return value === '0' || value === 'false' ? false : undefined;
}

function contextOf(traceId: string, spanId: string, sampled: boolean): Extracted {
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId) || ZEROS.test(traceId) || ZEROS.test(spanId)) return 'invalid';
  return { traceId, spanId, sampled };
}

/** Random digits come many at once: one call of the runtime for some hundred requests. */
const pool = new Uint8Array(4096);
let used = pool.length;

function randomHex(digits: number): string {
  const bytes = digits / 2;
  if (used + bytes > pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  let text = '';
  for (const end = used + bytes; used < end; used++) text += HEX[pool[used]!];
  return ZEROS.test(text) ? randomHex(digits) : text;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
