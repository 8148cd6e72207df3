/** Answers to what could not be read as a request. */
import type { CodecError } from '../codec/error.ts';
import type { RequestHead } from '../codec/h1/head.ts';
import { responseHeadText } from '../codec/h1/response-head-text.ts';
import { ProxyRequest } from '../exchange/proxy-request.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { DownstreamInfo } from '../stream.ts';
import type { ManagerParts } from './manager-config.ts';

const bodies: Readonly<Record<number, string>> = {
  414: 'URI Too Long',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};

/** Envoy's: the reason phrase, unless its connection manager and not its codec finds the fault. */
export function bodyOf({ status, details }: CodecError): string {
  const bare = details === 'missing_host_header' || details === 'path_normalization_failed';
  return bare ? '' : (bodies[status] ?? 'Bad Request');
}

/** Stands in for the head in the log. */
function unknownHead(): RequestHead {
  return {
    method: '',
    path: '',
    authority: '',
    scheme: '',
    headers: new HeaderMap(),
    minor: 1,
    framing: 'none',
    contentLength: 0,
    keepAlive: false,
    upgrade: '',
    expectContinue: false,
  };
}

/** An answer without a request. */
export interface Refusal {
  /** Stands for it in the log. */
  readonly request: ProxyRequest;
  /** The head with its empty line: it says that the connection ends. */
  readonly head: string;
  readonly body: Uint8Array;
}

export function composeRefusal(
  parts: ManagerParts,
  downstream: DownstreamInfo,
  status: number,
  body: string,
  details: string,
  protocolError: boolean,
): Refusal {
  const request = new ProxyRequest(unknownHead(), downstream, parts.runtime.monotonicMs());
  request.details = details;
  if (protocolError) request.flag('DPE');
  const mapped = parts.mapReply?.(request, { status, body, details });
  request.responseCode = mapped?.status ?? status;
  const bytes = new TextEncoder().encode(mapped?.body ?? body);
  request.bytesSent = bytes.length;
  const headers = new HeaderMap();
  headers.append('content-length', String(bytes.length), 'content-length');
  if (bytes.length > 0) headers.append('content-type', mapped?.contentType ?? 'text/plain', 'content-type');
  mapped?.editHeaders(headers);
  parts.headers.response(request, headers);
  request.responseHeaders = headers;
  request.responseStatus = request.responseCode;
  const head = `${responseHeadText(request.responseCode, '', headers)}connection: close\r\n\r\n`;
  return { request, head, body: bytes };
}
