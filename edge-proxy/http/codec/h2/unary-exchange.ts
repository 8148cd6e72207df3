/** One request and its response on a stream of a client (RFC 9113 sections 5.1 and 8.1). */
import { Http2Error } from './error.ts';
import { checkTrailers, type Field, type ResponseFields, readResponseHead } from './fields.ts';
import { DEFAULT_WINDOW, LARGEST_WINDOW } from './frames.ts';

export interface UnaryRequest {
  /** Pseudo-header fields first, names in lower case. */
  readonly fields: readonly Field[];
  /** undefined: none. */
  readonly body: Uint8Array | undefined;
}

/** Why there will be no whole response. `refused`: the peer has not begun with it. */
export type ResetCause = 'reset' | 'refused' | 'goaway' | 'protocol-error' | 'connection-closed';

/** What is heard of one exchange; after `onEnd` or `onReset`, or once it was cancelled, nothing more. */
export interface UnaryOwner {
  /** @param endStream nothing follows but `onEnd` */
  onHead(head: ResponseFields, endStream: boolean): void;
  /** The bytes are valid during the call alone. */
  onData(bytes: Uint8Array, endStream: boolean): void;
  onTrailers(fields: readonly Field[]): void;
  onEnd(): void;
  onReset(why: ResetCause): void;
}

/** Responses that are not the last: 100, 103. */
const MOST_INTERIM = 16;

export class UnaryExchange {
  readonly stream: number;
  readonly request: UnaryRequest;
  readonly owner: UnaryOwner;
  headSent = false;
  /** Bytes of the request's body. */
  sent = 0;
  requestDone = false;
  /** What the peer still takes; below 0 after it made its window smaller (section 6.9.2). */
  sendWindow: number;
  receiveWindow = DEFAULT_WINDOW;
  private head: ResponseFields | undefined;
  private interim = 0;
  private received = 0;

  constructor(stream: number, request: UnaryRequest, owner: UnaryOwner, sendWindow: number) {
    this.stream = stream;
    this.request = request;
    this.owner = owner;
    this.sendWindow = sendWindow;
  }

  /** @throws Http2Error FLOW_CONTROL_ERROR */
  widen(increment: number): void {
    this.sendWindow += increment;
    if (this.sendWindow > LARGEST_WINDOW) throw new Http2Error('FLOW_CONTROL_ERROR', 'a window is too large');
  }

  /** @throws Http2Error for a response that is malformed */
  onHeaders(fields: readonly Field[], endStream: boolean): void {
    if (this.head) {
      if (!endStream) throw malformed('trailers do not end their stream');
      checkTrailers(fields);
      this.checkLength();
      this.owner.onTrailers(fields);
      return;
    }
    const head = readResponseHead(fields);
    if (head.status < 200) {
      if (endStream) throw malformed('an interim response ends the stream');
      if (++this.interim > MOST_INTERIM) throw new Http2Error('ENHANCE_YOUR_CALM', 'too many interim responses');
      return;
    }
    this.head = head;
    if (endStream) this.checkLength();
    this.owner.onHead(head, endStream);
  }

  /** @throws Http2Error as `onHeaders` */
  onData(data: Uint8Array, endStream: boolean): void {
    if (!this.head) throw malformed('data before a head');
    this.received += data.length;
    if (endStream || this.received > (this.head.contentLength ?? Number.POSITIVE_INFINITY)) this.checkLength();
    this.owner.onData(data, endStream);
  }

  /** What was announced is what came (section 8.1.1), unless nothing may come. */
  private checkLength(): void {
    const { status, contentLength } = this.head!;
    if (contentLength === undefined || contentLength === this.received) return;
    const isHead = this.request.fields.some(([name, value]) => name === ':method' && value === 'HEAD');
    if (this.received === 0 && (isHead || status === 304)) return;
    throw malformed('a body is not as long as its content-length');
  }
}

function malformed(message: string): Http2Error {
  return new Http2Error('PROTOCOL_ERROR', message);
}
