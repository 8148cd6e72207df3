/** Answers to what could not be read as a request. */

import type { ExchangeConfig } from '../exchange/exchange-config.ts';
import type { CodecError } from '../message/codec-error.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { HttpVersion, RequestHead, ResponseHead } from '../message/message.ts';
import { bodyBytes } from '../request/local-reply.ts';
import { ProxyRequest } from '../request/proxy-request.ts';
import type { DownstreamInfo, LocalReply, ResponseFlag } from '../request/request-context.ts';

const bodies: Readonly<Record<number, string>> = {
  414: 'URI Too Long',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};

/** Envoy's: the reason phrase, unless its connection manager and not its codec finds the error. */
export function bodyOf({ status, details }: CodecError): string {
  const bare = details === 'missing_host_header' || details === 'path_normalization_failed';
  return bare ? '' : (bodies[status] ?? 'Bad Request');
}

/** Represents the head in the log. */
function unknownHead(version: HttpVersion): RequestHead {
  return {
    method: '',
    scheme: '',
    authority: '',
    path: '',
    headers: new HeaderMap(),
    bodySize: 0,
    upgrade: '',
    wantsContinue: false,
    version,
  };
}

/** What is no request, and gets no answer, in the log. @param nowMs monotonic */
export function unansweredRequest(
  downstream: DownstreamInfo,
  nowMs: number,
  details: string,
  flag: ResponseFlag,
): ProxyRequest {
  const request = new ProxyRequest(unknownHead('HTTP/2'), downstream, nowMs);
  request.details = details;
  request.flag(flag);
  return request;
}

/** A response to what is no request. */
export interface Refusal {
  /** Represents the request in the log. */
  readonly request: ProxyRequest;
  readonly head: ResponseHead;
  readonly body: Uint8Array;
}

type RefusalConfig = Pick<ExchangeConfig, 'mapReply' | 'headers'>;

/** @param nowMs monotonic */
export function composeRefusal(
  config: RefusalConfig,
  downstream: DownstreamInfo,
  nowMs: number,
  made: LocalReply,
  version: HttpVersion,
): Refusal {
  const request = new ProxyRequest(unknownHead(version), downstream, nowMs);
  request.details = made.details;
  if (made.flag) request.flag(made.flag);
  const mapped = config.mapReply?.(request, made);
  const status = mapped?.status ?? made.status;
  request.responseCode = status;
  const body = bodyBytes(mapped?.body ?? made.body);
  request.bytesSent = body.length;
  const headers = new HeaderMap();
  headers.append('content-length', String(body.length), 'content-length');
  if (body.length > 0) headers.append('content-type', mapped?.contentType ?? 'text/plain', 'content-type');
  mapped?.editHeaders(headers);
  config.headers.response(request, headers);
  request.responseHeaders = headers;
  request.responseStatus = status;
  return { request, head: { status, headers, bodySize: body.length, upgrade: '', version: 'HTTP/1.1' }, body };
}
