/** The proxy's parsers, driven as its connections drive them. */
import { latin1 } from '../../../edge-proxy/http/codec/bytes.ts';
import { CodecError } from '../../../edge-proxy/http/codec/error.ts';
import {
  defaultLimits,
  type Http1RequestHead,
  type Http1ResponseHead,
} from '../../../edge-proxy/http/codec/h1/head.ts';
import { RequestParser, ResponseParser } from '../../../edge-proxy/http/codec/h1/parser.ts';
import type { HeaderMap } from '../../../edge-proxy/http/message/header-map.ts';
import type { Side } from './generate.ts';
import { fieldLines, type Message, type Transcript } from './transcript.ts';

const limits = { ...defaultLimits, acceptHttp10: true, defaultHost: '' };

/** @param cuts places where the bytes are cut into pieces, ascending */
export function read(side: Side, bytes: Uint8Array, method: string, cuts: readonly number[]): Transcript {
  const text: Transcript = { messages: [], stopped: false, fault: undefined };
  let current: Message | undefined;
  let last = false;
  let tunnel = false;
  const onEnd = (trailers: HeaderMap | undefined) => {
    if (current) current.end = trailers ? lines(trailers) : '';
    // Where a tunnel may begin, and behind the last message, what follows is no HTTP.
    if (last || tunnel) text.stopped = true;
  };
  const onHead = (head: Http1RequestHead | Http1ResponseHead, end: boolean) => {
    const isRequest = side === 'request';
    // llhttp reads nothing behind the body of a request that asks for an upgrade; the proxy does when it grants none.
    tunnel = isRequest ? head.upgrade !== '' : parser.isTunnel;
    if (!head.keepAlive) last = true;
    const verdict = !isRequest && tunnel ? 'tunnel' : `${method === 'HEAD' ? '' : head.keepAlive} ${tunnel}`;
    current = {
      head: `${isRequest ? requestStart(head as Http1RequestHead) : (head as Http1ResponseHead).status} ${head.version.slice(-3)} ${verdict}\n${lines(head.headers)}`,
      body: '',
      end: undefined,
    };
    text.messages.push(current);
    if (!isRequest && tunnel) text.stopped = true;
    if (end) onEnd(undefined);
  };
  const sink = {
    onHead,
    onBody(part: Uint8Array, end: boolean) {
      if (current && !text.stopped) current.body += latin1(part, 0, part.length);
      if (end) onEnd(undefined);
    },
    onTrailers: onEnd,
  };
  const parser = side === 'request' ? new RequestParser(sink, limits) : new ResponseParser(sink, limits);
  const next = () => (parser instanceof ResponseParser ? parser.expect(method) : parser.next());
  next();
  try {
    let from = 0;
    for (const cut of [...cuts, bytes.length]) {
      const piece = bytes.subarray(from, cut);
      from = cut;
      for (let at = 0; at < piece.length && !text.stopped; ) {
        if (parser.complete) next();
        at = parser.execute(piece, at);
      }
    }
    if (!text.stopped) parser.finish();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    text.fault = String(error.status);
  }
  return text;
}

function lines(headers: HeaderMap): string {
  const raw: string[] = [];
  for (let i = 0; i < headers.size; i++) raw.push(headers.names[i]!, headers.values[i]!);
  return fieldLines(raw);
}

function requestStart(head: Http1RequestHead): string {
  return `${head.method} ${head.method === 'CONNECT' ? head.authority : head.path} @${head.authority}`;
}
