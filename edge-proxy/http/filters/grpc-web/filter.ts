/**
 * envoy.filters.http.grpc_web: lets clients that have no trailers and no HTTP/2 call gRPC servers (github.com/grpc/grpc:
 * "gRPC Web"), in its binary and its text form.
 */
import { concat } from '../../codec/bytes.ts';
import { MessageCounter } from '../../grpc/message-counter.ts';
import { percentEncodedBytes } from '../../grpc/percent.ts';
import { grpcOfHttp, isGrpcResponse } from '../../grpc/status.ts';
import type { HeaderMap } from '../../message/header-map.ts';
import type { ResponseHead } from '../../message/message.ts';
import { reply } from '../../request/local-reply.ts';
import type { LocalReply, RequestContext } from '../../request/request-context.ts';
import { type ClusterCounters, GrpcMethodStats, methodOf } from '../grpc-method-stats.ts';
import { type BufferedBody, type FilterHooks, type HeadAnswer, REWRITE_BODY, StateSlot } from '../hooks.ts';
import { Base64Decoder, Base64Encoder } from './base64.ts';

const TEXT_TYPES: ReadonlySet<string> = new Set(['application/grpc-web-text', 'application/grpc-web-text+proto']);
const BINARY_TYPES: ReadonlySet<string> = new Set(['application/grpc-web', 'application/grpc-web+proto']);
const TRAILERS_FRAME = 0x80;
/** Of a response that is not gRPC, what becomes grpc-message. */
const LONGEST_MESSAGE = 16_384;
const EMPTY = new Uint8Array(0);

const badSize: LocalReply = {
  ...reply(400, 'Bad gRPC-web request, invalid base64 data.', 'grpc_base_64_decode_failed_bad_size'),
  close: true,
};
const badData: LocalReply = { ...badSize, details: 'grpc_base_64_decode_failed' };

type Response = Pick<ResponseHead, 'status' | 'headers'>;

export function createGrpcWebFilter(counters: ClusterCounters | undefined): FilterHooks {
  const stats = new GrpcMethodStats(counters, 'grpc-web');
  const slot = new StateSlot<GrpcWebCall>();
  return {
    onRequestHead: (context, end) => {
      const call = beginCall(context.request);
      if (!call) return undefined;
      context.set(slot, call);
      return end ? undefined : REWRITE_BODY;
    },
    onRequestData: (context, bytes, end) => context.get(slot)?.requestData(bytes, end),
    onRequestTrailers: (context) => (context.get(slot)?.decoder?.atBoundary === false ? badSize : undefined),
    onResponseHead: (context, response, end) => context.get(slot)?.responseHead(response, context.responseBody, end),
    onResponseData: (context, bytes) => context.get(slot)?.responseData(bytes),
    onResponseTrailers: (context, trailers) => {
      const call = context.get(slot);
      if (!call) return undefined;
      // The log and metrics know the status by them.
      context.request.responseTrailers = trailers.copy();
      return call.responseTrailers(trailers);
    },
    onEnd: (context) => {
      if (context.get(slot)) countCall(context.request, stats);
    },
  };
}

/** Makes a gRPC request of a gRPC-Web request; undefined: it is none. */
function beginCall({ headers }: RequestContext): GrpcWebCall | undefined {
  const type = headers.get('content-type') ?? '';
  const isText = TEXT_TYPES.has(type);
  if (!isText && !BINARY_TYPES.has(type)) return undefined;
  headers.remove('content-length');
  headers.set('content-type', 'application/grpc');
  headers.set('te', 'trailers');
  if (!headers.has('grpc-accept-encoding')) headers.set('grpc-accept-encoding', 'identity');
  return new GrpcWebCall(isText, TEXT_TYPES.has(headers.get('accept') ?? ''));
}

function countCall({ path, cluster, responseHeaders, responseTrailers }: RequestContext, stats: GrpcMethodStats): void {
  const names = methodOf(path);
  const status = responseTrailers?.get('grpc-status') ?? responseHeaders?.get('grpc-status');
  if (names && cluster && status !== undefined) stats.end(cluster, stats.nameOf(names), status);
}

class GrpcWebCall {
  /** Of a request in the text form. */
  readonly decoder: Base64Decoder | undefined;
  /** Of a response in the text form. */
  private readonly text: TextMessages | undefined;
  /** The rest of the response's body is not passed on. */
  private drops = false;

  constructor(requestIsText: boolean, responseIsText: boolean) {
    this.decoder = requestIsText ? new Base64Decoder() : undefined;
    this.text = responseIsText ? new TextMessages() : undefined;
  }

  requestData(bytes: Uint8Array, end: boolean): Uint8Array | LocalReply | undefined {
    const { decoder } = this;
    if (!decoder) return undefined;
    try {
      const decoded = decoder.take(bytes);
      return end && !decoder.atBoundary ? badSize : decoded;
    } catch {
      return badData;
    }
  }

  responseHead({ status, headers }: Response, body: BufferedBody | undefined, end: boolean): HeadAnswer {
    if (body) return this.messageOf(body, status, headers);
    const isPassed = isGrpcResponse(status, headers, end) || (status === 200 && isBinary(headers.get('content-type')));
    headers.set('content-type', `application/grpc-web${this.text ? '-text' : ''}+proto`);
    if (end) return undefined;
    return isPassed ? REWRITE_BODY : { buffer: LONGEST_MESSAGE, whenFull: 'partial' };
  }

  /** A response that is not gRPC: its body becomes the message of a status. */
  private messageOf({ chunks, complete }: BufferedBody, status: number, headers: HeaderMap): HeadAnswer {
    const text = chunks.reduce(concat, EMPTY).subarray(0, LONGEST_MESSAGE);
    headers.set('grpc-message', percentEncodedBytes(text));
    headers.set('grpc-status', String(grpcOfHttp(status)));
    headers.set('content-length', '0');
    if (complete) return { replaceBody: EMPTY };
    this.drops = true;
    return REWRITE_BODY;
  }

  responseData(bytes: Uint8Array): Uint8Array | undefined {
    if (this.drops) return EMPTY;
    return this.text?.encode(bytes);
  }

  /** Trailers become a frame at the end of the body. */
  responseTrailers(trailers: HeaderMap): Uint8Array {
    const { keys, values } = trailers;
    const frame = this.drops ? EMPTY : trailersFrame(keys.map((key, i) => `${key}:${values[i]}\r\n`).join(''));
    for (const key of [...keys]) trailers.remove(key);
    return this.text ? this.text.encodeFrame(frame) : frame;
  }
}

/** Parameters behind the type do not count. */
function isBinary(contentType: string | undefined): boolean {
  return BINARY_TYPES.has((contentType ?? '').split(';', 1)[0]!.trimEnd().toLowerCase());
}

/** @param fields one character for each byte */
function trailersFrame(fields: string): Uint8Array {
  const frame = new Uint8Array(5 + fields.length);
  frame[0] = TRAILERS_FRAME;
  new DataView(frame.buffer).setUint32(1, fields.length);
  for (let i = 0; i < fields.length; i++) frame[5 + i] = fields.charCodeAt(i);
  return frame;
}

/** Messages in base64: each is a text of its own, as Envoy writes them, so that a client can decode what it has. */
class TextMessages {
  private readonly encoder = new Base64Encoder();
  private readonly messages = new MessageCounter();

  encode(bytes: Uint8Array): Uint8Array {
    // A message is five bytes at least, which become eight.
    const out = new Uint8Array(2 * bytes.length + 8);
    let length = 0;
    for (let at = 0; at < bytes.length; ) {
      const next = this.messages.advance(bytes, at);
      length = this.encoder.take(bytes.subarray(at, next), out, length);
      if (this.messages.atBoundary) length = this.encoder.end(out, length);
      at = next;
    }
    return out.subarray(0, length);
  }

  encodeFrame(frame: Uint8Array): Uint8Array {
    const out = new Uint8Array(2 * frame.length + 8);
    // Of a message that broke off.
    const rest = this.encoder.end(out, 0);
    return out.subarray(0, this.encoder.end(out, this.encoder.take(frame, out, rest)));
  }
}
