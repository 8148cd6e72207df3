/** A downstream HTTP/2 connection: its streams are requests, each served by itself. */
import type { Connection } from '../../../runtime/runtime.ts';
import { CodecError } from '../../message/codec-error.ts';
import type { HttpVersion, RequestHead, ResponseHead } from '../../message/message.ts';
import type { OutStream, ResetReason } from '../../message/stream.ts';
import type { DownstreamCodec, DownstreamOwner } from '../codecs.ts';
import { Http2Connection } from './connection/connection.ts';
import { type Draining, GracefulDrain } from './connection/graceful-drain.ts';
import type { Http2Stream } from './connection/stream.ts';
import { type DownstreamLine, Http2DownstreamStream } from './downstream-stream.ts';
import { ERROR_CODES, Http2Error, Http2StreamError, invalidMessage } from './error.ts';
import { SETTING } from './frames.ts';
import type { Http2Options } from './options.ts';
import { RequestFields } from './request-fields.ts';
import { TrailerFields } from './trailer-fields.ts';
import { writeResponse } from './write-fields.ts';

export interface Http2DownstreamOptions extends Http2Options {
  /** How long the client may take to close after the last response, in milliseconds. */
  readonly delayedCloseMs: number;
  /** How long a client may open further streams after the first GOAWAY, where it does not answer, in milliseconds. */
  readonly drainMs: number;
  /** A request with an underscore in a field's name is refused. Absent: it is not. */
  readonly rejectsUnderscores?: boolean;
}

export class Http2DownstreamConnection
  extends Http2Connection<Http2DownstreamStream>
  implements DownstreamCodec, DownstreamLine, Draining
{
  private readonly owner: DownstreamOwner;
  private readonly timing: Http2DownstreamOptions;
  private readonly fields: RequestFields;
  private draining: GracefulDrain | undefined = undefined;
  private admitted = false;
  private lingering: ReturnType<typeof setTimeout> | undefined = undefined;
  private gone = false;
  private reading = false;
  /** The last read left a head partly read. */
  private partialHead = false;
  /** Streams whose response was whole before their request, in the bytes that are being read. */
  private readonly abandoned: Http2DownstreamStream[] = [];

  /** Takes over a connection on which nothing was read yet. */
  constructor(connection: Connection, options: Http2DownstreamOptions, owner: DownstreamOwner) {
    super(connection, options, true);
    this.owner = owner;
    this.timing = options;
    this.fields = new RequestFields(options.allowConnect, options.rejectsUnderscores);
  }

  protected ownSettings(): readonly (readonly [id: number, value: number])[] {
    const { headerTableSize, maxConcurrentStreams, initialWindow, maxHeadBytes, allowConnect } = this.options;
    const settings: (readonly [id: number, value: number])[] = [
      [SETTING.HEADER_TABLE_SIZE, headerTableSize],
      [SETTING.MAX_CONCURRENT_STREAMS, maxConcurrentStreams],
      [SETTING.INITIAL_WINDOW_SIZE, initialWindow],
      [SETTING.MAX_HEADER_LIST_SIZE, maxHeadBytes],
    ];
    if (allowConnect) settings.push([SETTING.ENABLE_CONNECT_PROTOCOL, 1]);
    return settings;
  }

  get version(): HttpVersion {
    return 'HTTP/2';
  }

  get idle(): boolean {
    return this.openStreams.size === 0 && !this.reader.partialHead;
  }

  drain(): void {
    if (this.closed || this.draining) return;
    this.draining = new GracefulDrain(this, this.timing.drainMs);
  }

  override sendGoaway(lastStream: number, code: number): void {
    super.sendGoaway(lastStream, code);
  }

  sendPing(payload: Uint8Array): void {
    this.writer.ping(payload, 0, false);
  }

  onLastStream(): void {
    if (this.closed) return;
    this.sendGoaway(this.lastPeerStream, ERROR_CODES.NO_ERROR);
    this.closeWhenDone();
  }

  protected override onPingAck(bytes: Uint8Array, at: number): void {
    this.draining?.onPingAck(bytes, at);
  }

  private closeWhenDone(): void {
    if (!this.draining?.final || this.openStreams.size > 0 || this.closed) return;
    this.stop();
    this.writer.flush();
    this.linger();
  }

  /** Sends what is left, then FIN; a peer that does not close in turn is cut off. */
  private linger(): void {
    this.connection.end();
    this.owner.onClosing();
    this.lingering = setTimeout(() => this.shut(), this.timing.delayedCloseMs);
  }

  private shut(): void {
    if (this.gone) return;
    this.gone = true;
    clearTimeout(this.lingering);
    this.connection.destroy();
    this.owner.onClosed();
  }

  protected override stop(): void {
    super.stop();
    this.draining?.stop();
  }

  rejectHead(): OutStream<ResponseHead> {
    const id = this.reader.partialStream;
    this.lastPeerStream = Math.max(id, this.lastPeerStream);
    const stream = new Http2DownstreamStream(this, id, this.peerWindow, '');
    stream.receiveEnded = true;
    // Where it is trailers that are not whole, the response is that of the request.
    if (id === 0 || this.openStreams.has(id)) stream.over = true;
    else this.openStreams.set(id, stream);
    // The rest of the header block is not read, and so no block after it can be.
    this.reader.stop();
    this.draining ??= new GracefulDrain(this, this.timing.drainMs);
    this.draining.stop();
    queueMicrotask(() => this.onLastStream());
    return stream;
  }

  destroy(): void {
    this.lose('local_reset', '');
  }

  override onData(bytes: Uint8Array): void {
    if (!this.admitted && !this.closed) {
      this.admitted = true;
      if (!this.owner.admitsFirstBytes()) {
        this.destroy();
        return;
      }
    }
    this.reading = true;
    try {
      super.onData(bytes);
    } finally {
      this.reading = false;
    }
    if (!this.closed) this.reportPartialHead();
  }

  private reportPartialHead(): void {
    const before = this.partialHead;
    this.partialHead = this.reader.partialHead;
    if (this.partialHead) this.owner.onPartialHead();
    else if (before) this.owner.onPartialHeadOver();
  }

  protected isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.lastPeerStream;
  }

  protected onNewHeaders(id: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    if (id % 2 === 0) throw new Http2Error('PROTOCOL_ERROR', 'a client opens an even stream');
    if (id <= this.lastPeerStream) {
      this.skipBlock(bytes, start, end);
      this.onLateFrame(id, 'HEADERS');
      return;
    }
    this.lastPeerStream = id;
    this.floods.onOpened();
    this.writer.check();
    if (this.draining?.final || this.openStreams.size >= this.options.maxConcurrentStreams) {
      this.skipBlock(bytes, start, end);
      this.refuse(id);
      return;
    }
    const { fields } = this;
    fields.begin();
    let head: RequestHead;
    try {
      this.decoder.decode(bytes, start, end, fields);
      head = fields.head(endStream);
    } catch (error) {
      this.refuseHead(id, error, endStream);
      return;
    }
    const stream = this.openRequest(id, head.upgrade, endStream);
    if (!endStream && head.upgrade === '' && fields.contentLength >= 0) stream.expectBody(fields.contentLength);
    this.serve(stream, head, endStream);
  }

  private serve(stream: Http2DownstreamStream, head: RequestHead, endStream: boolean): void {
    try {
      stream.sink = this.owner.onRequest(stream, head, endStream);
    } catch (error) {
      this.onInternalError(stream, error);
    }
  }

  /** @throws what ends the connection */
  private refuseHead(id: number, error: unknown, endStream: boolean): void {
    if (error instanceof CodecError) {
      this.owner.onMalformed(error, this.openRequest(id, '', endStream));
      return;
    }
    if (error instanceof Http2StreamError)
      this.owner.onUnanswered(error.details, error.code === ERROR_CODES.PROTOCOL_ERROR);
    this.refuseMessage(this.openRequest(id, '', endStream), error);
  }

  private openRequest(id: number, upgrade: string, endStream: boolean): Http2DownstreamStream {
    const stream = new Http2DownstreamStream(this, id, this.peerWindow, upgrade);
    stream.receiveEnded = endStream;
    if (!endStream) stream.expectData(this.ownWindow);
    this.openStreams.set(id, stream);
    return stream;
  }

  protected onMoreHeaders(
    stream: Http2DownstreamStream,
    bytes: Uint8Array,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const fields = new TrailerFields();
    try {
      this.decoder.decode(bytes, start, end, fields);
      if (!endStream) throw invalidMessage('trailers do not end their stream');
      stream.receiveTrailers(fields.trailers);
    } catch (error) {
      this.refuseMessage(stream, error);
    }
  }

  writeResponse(id: number, head: ResponseHead, end: boolean): void {
    const { writer } = this;
    const start = writer.position;
    try {
      writeResponse(this.encoder, writer.beginHeaders(), head);
      writer.endHeaders(start, id, end);
    } catch (error) {
      this.abandonHeaders(start, error);
    }
  }

  abandonRequest(stream: Http2DownstreamStream): void {
    // The end of the request may be among what is being read.
    if (this.reading) this.abandoned.push(stream);
    else this.resetAbandoned(stream);
  }

  protected override onBatchRead(): void {
    const { abandoned } = this;
    while (abandoned.length > 0) this.resetAbandoned(abandoned.pop()!);
  }

  private resetAbandoned(stream: Http2DownstreamStream): void {
    if (!stream.over) this.resetStream(stream, ERROR_CODES.NO_ERROR);
  }

  decideDrain(): void {
    if (!this.draining && this.owner.endsConnection()) this.drain();
  }

  /** Clients need no stream of ours: theirs continue. */
  onGoaway(): void {}

  onInternalError(stream: Http2Stream, error: unknown): void {
    this.owner.onInternalError(error);
    if (stream.over) return;
    this.resetStream(stream, ERROR_CODES.INTERNAL_ERROR);
    stream.lose('local_reset', '');
  }

  protected failInternally(error: unknown): void {
    this.owner.onInternalError(error);
    this.destroy();
  }

  onEnd(): void {
    if (this.lingering === undefined) this.lose('connection_termination', '');
    else this.shut();
  }

  override onClose(error?: Error): void {
    if (this.closed) this.shut();
    else super.onClose(error);
  }

  protected onLost(reason: ResetReason, detail: string): void {
    this.loseStreams(reason, detail);
    if (reason === 'protocol_error') this.linger();
    else this.shut();
  }

  protected onStreamClosed(): void {
    if (this.closed) return;
    if (this.draining?.final) this.closeWhenDone();
    else if (this.idle) this.owner.onIdle();
  }
}
