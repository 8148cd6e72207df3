/** A downstream connection of the proxy with an application behind it that answers by the path; what happens is written down. */

import type { DownstreamOwner } from '../../../edge-proxy/http/codec/codecs.ts';
import {
  Http2DownstreamConnection,
  type Http2DownstreamOptions,
} from '../../../edge-proxy/http/codec/h2/downstream-connection.ts';
import type { Http2DownstreamStream } from '../../../edge-proxy/http/codec/h2/downstream-stream.ts';
import { defaultHttp2Options } from '../../../edge-proxy/http/codec/h2/options.ts';
import { HeaderMap } from '../../../edge-proxy/http/message/header-map.ts';
import type { RequestHead, ResponseHead } from '../../../edge-proxy/http/message/message.ts';
import type { DownstreamStream, OutStream, RequestSink, StreamReset } from '../../../edge-proxy/http/message/stream.ts';
import type { Connection, ConnectionHandler } from '../../../edge-proxy/runtime/runtime.ts';

const IGNORE: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
const HELLO = new TextEncoder().encode('hello');

/** Takes what is written to it. */
export class Recorded implements Connection {
  handler: ConnectionHandler = IGNORE;
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly localAddress = '127.0.0.1';
  readonly localPort = 2;
  readonly tls = undefined;
  readonly buffered = 0;
  readonly written: Uint8Array[] = [];
  bytes = 0;
  ended = false;
  write(bytes: Uint8Array): boolean {
    this.written.push(bytes.slice());
    this.bytes += bytes.length;
    return true;
  }
  writeLatin1 = (): boolean => true;
  writeBoth = (): boolean => true;
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.ended = true;
  }
  pause(): void {}
  resume(): void {}
}

function response(status: number): ResponseHead {
  const headers = new HeaderMap();
  headers.append('server', 'app', 'server');
  return { status, headers, bodySize: undefined, upgrade: '', version: 'HTTP/1.1' };
}

/** One request: it must end once, and hear nothing behind its end. */
class Served implements RequestSink {
  /** Its method, authority and path. */
  readonly request: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bodySize: number | undefined;
  private readonly stream: DownstreamStream;
  private readonly path: string;
  bytes = 0;
  end = '';
  reset = '';
  /** The response was handed over whole, which may end the stream; or the stream was reset, which does. */
  answered = false;
  answeredEarly = false;

  constructor(stream: DownstreamStream, head: RequestHead, end: boolean) {
    this.request = `${head.method} ${head.authority}${head.path}`;
    this.headers = head.headers.keys.map((key, i) => [key, head.headers.values[i]!] as const);
    this.bodySize = head.bodySize;
    this.stream = stream;
    this.path = head.path;
    if (end) this.end = 'head';
    this.begin(end);
  }

  private begin(end: boolean): void {
    const { stream, path } = this;
    if (path.startsWith('/now')) {
      stream.head(response(200), false);
      stream.data(HELLO, true);
      this.answered = true;
      this.answeredEarly = !end;
    } else if (path === '/reset') {
      stream.reset('local_reset');
      this.answered = true;
    } else if (end) this.answer();
  }

  private answer(): void {
    const { stream, path, bytes } = this;
    if (path === '/later') return;
    stream.head(response(200), false);
    const trailers = new HeaderMap();
    trailers.append('x-bytes', String(bytes), 'x-bytes');
    if (path === '/echo') stream.data(new Uint8Array(bytes), true);
    else stream.trailers(trailers);
  }

  private check(): void {
    if ((this.answered && this.path === '/reset') || this.end !== '' || this.reset !== '')
      throw new Error(`an event behind the end (${this.end}) of ${this.request}`);
  }

  onData(bytes: Uint8Array, end: boolean): void {
    this.check();
    this.bytes += bytes.length;
    if (!end) return;
    this.end = 'data';
    this.answer();
  }

  onTrailers(trailers: HeaderMap): void {
    this.check();
    this.end = `trailers ${trailers.keys}`;
    this.answer();
  }

  onWritable(): void {}

  onReset(reset: StreamReset): void {
    if (this.reset !== '') throw new Error(`reset twice: ${this.request}`);
    this.reset = reset.reason;
  }

  onMalformed(): void {
    this.check();
    this.end = 'malformed';
  }
}

export const OPTIONS: Http2DownstreamOptions = {
  ...defaultHttp2Options,
  maxConcurrentStreams: 5,
  maxHeadBytes: 700,
  maxFields: 10,
  resetsStreamOnMalformed: true,
  initialWindow: 1000,
  streamWindow: 1000,
  delayedCloseMs: 1000,
  drainMs: 1000,
};

export class Application implements DownstreamOwner {
  readonly connection = new Recorded();
  readonly codec: Http2DownstreamConnection;
  readonly requests: Served[] = [];
  readonly unanswered: string[] = [];
  /** A request whose head was refused was answered before its end. */
  refusedEarly = false;
  internal: unknown;
  closings = 0;

  constructor(options: Http2DownstreamOptions = OPTIONS) {
    this.codec = new Http2DownstreamConnection(this.connection, options, this);
  }

  admitsFirstBytes(): boolean {
    return true;
  }

  onRequest(stream: DownstreamStream, head: RequestHead, end: boolean): RequestSink {
    const served = new Served(stream, head, end);
    this.requests.push(served);
    return served;
  }

  onMalformed(error: Error, stream: OutStream<ResponseHead>): void {
    this.unanswered.push(error.message);
    this.refusedEarly ||= !(stream as Http2DownstreamStream).receiveEnded;
    stream.head(response(400), true);
  }

  onUnanswered(details: string): void {
    this.unanswered.push(details);
  }

  onInternalError(error: unknown): void {
    this.internal ??= error;
  }

  onPartialHead(): void {}
  onPartialHeadOver(): void {}

  endsConnection(): boolean {
    return false;
  }

  onIdle(): void {}
  onClosing(): void {}

  onClosed(): void {
    this.closings++;
  }
}
