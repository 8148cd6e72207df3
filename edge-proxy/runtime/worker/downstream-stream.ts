/** A fetch Request and its Response as the downstream stream of an exchange. */
import type { HeaderMap } from '../../http/message/header-map.ts';
import type { ResponseHead } from '../../http/message/message.ts';
import type { DownstreamStream, RequestSink, ResetReason } from '../../http/message/stream.ts';
import { BodyReader } from './body-reader.ts';
import { BodyWriter } from './body-writer.ts';
import { fetchHeaders } from './request.ts';
import { webSocketOf } from './web-socket.ts';

const NOTHING = new Uint8Array(0);

export class FetchDownstream implements DownstreamStream {
  readonly response: Promise<Response>;
  private answer!: (response: Response) => void;
  private readonly request: Request;
  private sink: RequestSink | undefined;
  private reader: BodyReader | undefined;
  private writer: BodyWriter | undefined;
  private answered = false;

  constructor(request: Request) {
    this.request = request;
    this.response = new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  /** Begins to read the body. */
  begin(sink: RequestSink): void {
    this.sink = sink;
    // Where the runtime says that the client has left; workerd ends the request by itself.
    this.request.signal?.addEventListener('abort', () => this.lost(), { once: true });
    if (this.request.body === null) return;
    this.reader = new BodyReader(this.request.body, {
      onBytes: (bytes, end) => sink.onData(bytes, end),
      onBroken: () => this.lost(),
    });
    this.reader.resume();
  }

  head(head: ResponseHead, end: boolean): void {
    if (this.answered) return;
    this.answered = true;
    const headers = fetchHeaders(head.headers);
    if (head.upgrade !== '') {
      const socket = webSocketOf(head.headers);
      this.answer(new Response(null, { status: head.status, headers, webSocket: socket } as ResponseInit));
      // The messages do not pass here: the runtime joins the two sockets.
      this.sink?.onData(NOTHING, true);
      return;
    }
    const bodyless = head.status === 204 || head.status === 205 || head.status === 304;
    if (end || bodyless) {
      this.answer(new Response(null, { status: head.status, headers }));
      return;
    }
    this.writer = new BodyWriter(head.bodySize, {
      onRoom: () => this.sink?.onWritable(),
      onGone: () => this.lost(),
    });
    // Bodies pass encoded as they are.
    const init = { status: head.status, headers, encodeBody: 'manual' };
    this.answer(new Response(this.writer.readable, init as ResponseInit));
  }

  /** Fetch has no place for responses that are not the last. */
  interim(): void {}

  data(bytes: Uint8Array, end: boolean): boolean {
    return this.writer?.write(bytes, end) ?? true;
  }

  /** Fetch has no trailers: they end the body. */
  trailers(_trailers: HeaderMap): void {
    this.data(NOTHING, true);
  }

  reset(reason: ResetReason): void {
    this.reader?.cancel();
    this.writer?.abort(reason);
    if (this.answered) return;
    this.answered = true;
    this.answer(new Response(null, { status: 502 }));
  }

  declineUpgrade(): void {}

  abandonRequest(): void {
    this.reader?.cancel();
  }

  /** Connections are the runtime's. */
  endConnection(): void {}

  pause(): void {
    this.reader?.pause();
  }

  resume(): void {
    this.reader?.resume();
  }

  /** The client has left. */
  private lost(): void {
    this.reader?.cancel();
    this.sink?.onReset({ reason: 'remote_reset', detail: '', sent: 'nothing', reusedConnection: false });
  }
}
