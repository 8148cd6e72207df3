/** An HTTP/2 connection to an upstream: as many streams as both sides allow. */
import type { Connection } from '../../../runtime/runtime.ts';
import type { RequestHead } from '../../message/message.ts';
import type { Addresses, ResetReason, ResponseSink, UpstreamStream } from '../../message/stream.ts';
import type { UpstreamConnection, UpstreamConnectionOwner, UpstreamProtocol } from '../codecs.ts';
import { Http2Connection } from './connection/connection.ts';
import type { Http2Stream } from './connection/stream.ts';
import { ERROR_CODES, Http2Error, invalidMessage } from './error.ts';
import { LARGEST_WINDOW, SETTING } from './frames.ts';
import type { Http2Options } from './options.ts';
import { ResponseFields } from './response-fields.ts';
import { TrailerFields } from './trailer-fields.ts';
import type { Http2Load } from './upstream-stats.ts';
import { Http2UpstreamStream, type UpstreamLine } from './upstream-stream.ts';
import { writeRequest } from './write-fields.ts';

const LAST_STREAM = 0x7fffffff;

export class Http2UpstreamConnection
  extends Http2Connection<Http2UpstreamStream>
  implements UpstreamConnection, UpstreamLine, Http2Load
{
  private readonly owner: UpstreamConnectionOwner;
  /** Of the stream that is opened next. */
  private nextStream = 1;
  /** Streams that have no number yet. */
  private unsent = 0;
  /** It takes no further stream; one that is open and has no number yet is still sent. */
  private draining = false;
  /** The peer takes no further stream. */
  private refuses = false;
  /** The last stream that the peer may still answer, by its GOAWAY. */
  private lastServed = LARGEST_WINDOW;
  private used = false;
  private readonly fields = new ResponseFields();

  /** Takes over an open, unused connection. */
  constructor(connection: Connection, options: Http2Options, owner: UpstreamConnectionOwner) {
    super(connection, options, false, owner.http2?.counters);
    this.owner = owner;
    owner.http2?.onOpen(this);
  }

  protected ownSettings(): readonly (readonly [id: number, value: number])[] {
    const { headerTableSize, initialWindow, maxHeadBytes } = this.options;
    return [
      [SETTING.HEADER_TABLE_SIZE, headerTableSize],
      [SETTING.ENABLE_PUSH, 0],
      [SETTING.INITIAL_WINDOW_SIZE, initialWindow],
      [SETTING.MAX_HEADER_LIST_SIZE, maxHeadBytes],
    ];
  }

  get maxStreams(): number {
    if (this.closed || this.draining) return 0;
    return Math.min(this.options.maxConcurrentStreams, this.peerStreams);
  }

  get streams(): number {
    return this.openStreams.size + this.unsent;
  }

  get pendingSendBytes(): number {
    let sum = 0;
    for (const { sendQueue } of this.openStreams.values()) sum += sendQueue?.size ?? 0;
    return sum;
  }

  get addresses(): Addresses {
    return this.connection;
  }

  /** @param sink receives no event before the head was sent */
  open(sink: ResponseSink): UpstreamStream {
    this.probe();
    this.unsent++;
    const stream = new Http2UpstreamStream(this, sink, this.used);
    return stream;
  }

  writeRequest(stream: Http2UpstreamStream, head: RequestHead, end: boolean): boolean {
    if (this.closed || this.refuses || this.nextStream > LAST_STREAM) {
      queueMicrotask(() => this.refuseUnsent(stream));
      return false;
    }
    this.unsent--;
    const id = this.nextStream;
    this.nextStream += 2;
    stream.id = id;
    stream.sendWindow = this.peerWindow;
    stream.expectData(this.ownWindow);
    this.openStreams.set(id, stream);
    this.floods.onOpened();
    const { writer } = this;
    const start = writer.position;
    try {
      writeRequest(this.encoder, writer.beginHeaders(), head, this.connection.tls !== undefined);
      writer.endHeaders(start, id, end);
    } catch (error) {
      this.abandonHeaders(start, error);
    }
    if (this.nextStream > LAST_STREAM) this.endNumbers();
    return true;
  }

  /** Stream identifiers cannot be reused (RFC 9113 section 5.1.1). */
  private endNumbers(): void {
    this.draining = true;
    this.owner.onCapacity();
  }

  private refuseUnsent(stream: Http2UpstreamStream): void {
    if (stream.over) return;
    this.forget(stream);
    stream.lose('refused_stream', '');
  }

  drain(): void {
    if (this.closed) return;
    this.draining = true;
    if (this.streams === 0) this.destroy();
  }

  destroy(): void {
    if (this.closed) return;
    this.stop();
    this.writer.flush();
    for (const stream of this.openStreams.values()) stream.close();
    this.openStreams.clear();
    this.connection.destroy();
    this.onOver();
  }

  private onOver(): void {
    this.owner.http2?.onClosed(this);
    this.owner.onClosed();
  }

  protected onNewHeaders(id: number, bytes: Uint8Array, start: number, end: number): void {
    this.skipBlock(bytes, start, end);
    this.onLateFrame(id, 'HEADERS');
  }

  protected onMoreHeaders(
    stream: Http2UpstreamStream,
    bytes: Uint8Array,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const { decoder, fields } = this;
    try {
      if (stream.expectsTrailers) {
        const trailers = new TrailerFields();
        decoder.decode(bytes, start, end, trailers);
        if (!endStream) throw invalidMessage('trailers do not end their stream');
        stream.receiveTrailers(trailers.trailers);
      } else {
        fields.begin();
        decoder.decode(bytes, start, end, fields);
        stream.receiveHead(fields.head(stream, endStream), fields.contentLength, endStream);
      }
    } catch (error) {
      this.refuseMessage(stream, error);
    }
  }

  protected isIdle(id: number): boolean {
    return id % 2 === 0 || id >= this.nextStream;
  }

  /** Whatever the error code, the peer may still answer the streams up to the last one (RFC 9113 section 6.8). */
  onGoaway(lastStream: number): void {
    if (lastStream > this.lastServed) throw new Http2Error('PROTOCOL_ERROR', 'a GOAWAY takes more than the one before');
    this.lastServed = lastStream;
    this.draining = true;
    this.refuses = true;
    const refused = [...this.openStreams.values()].filter((stream) => stream.id > lastStream);
    for (const stream of refused) this.forget(stream);
    for (const stream of refused) stream.lose('refused_stream', '');
    this.owner.onCapacity();
    this.closeWhenDone();
  }

  override onSettings(): void {
    super.onSettings();
    this.owner.onCapacity();
  }

  onInternalError(stream: Http2UpstreamStream, error: unknown): void {
    stream.sink.onInternalError(error);
    if (stream.over) return;
    this.resetStream(stream, ERROR_CODES.INTERNAL_ERROR);
    stream.lose('protocol_error', '');
  }

  protected failInternally(error: unknown): void {
    // The sinks of mirrors and side calls report nothing.
    for (const stream of this.openStreams.values()) stream.sink.onInternalError(error);
    this.lose('protocol_error', '');
  }

  onEnd(): void {
    this.lose('connection_termination', '');
  }

  protected onLost(reason: ResetReason, detail: string): void {
    this.connection.destroy();
    this.onOver();
    this.loseStreams(reason, detail);
  }

  protected onStreamClosed(stream: Http2Stream): void {
    if (stream.id === 0) this.unsent--;
    this.used = true;
    if (this.closed) return;
    if (this.draining) this.closeWhenDone();
    else this.owner.onCapacity();
  }

  private closeWhenDone(): void {
    if (this.draining && !this.closed && this.streams === 0) this.destroy();
  }
}

/** HTTP/2 to an upstream. @param options of its cluster */
export function http2Protocol(options: Http2Options): UpstreamProtocol {
  return {
    name: 'http2',
    expectedStreams: options.maxConcurrentStreams,
    connect: (connection, owner) => new Http2UpstreamConnection(connection, options, owner),
  };
}
