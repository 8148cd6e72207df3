/**
 * What HTTP/2 connections of both sides have in common: frames are read and handed to their streams, settings and windows
 * are kept, and what the peer may cost beside its messages is limited (RFC 9113).
 */
import type { Connection, ConnectionHandler } from '../../../../runtime/runtime.ts';
import type { HeaderMap } from '../../../message/header-map.ts';
import type { ResetReason } from '../../../message/stream.ts';
import { beginBatch, endBatch } from '../../cork.ts';
import type { Http2CounterName, Http2Counters } from '../counters.ts';
import { uncounted } from '../counters.ts';
import { ERROR_CODES, Http2Error, Http2StreamError, MalformedMessage } from '../error.ts';
import { DEFAULT_WINDOW, SETTING } from '../frames.ts';
import type { FieldSink } from '../header-block.ts';
import { HpackDecoder, HpackEncoder } from '../hpack.ts';
import type { Http2Options } from '../options.ts';
import { writeTrailers } from '../write-fields.ts';
import { FloodGuard } from './flood-guard.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { KeepAlive } from './keep-alive.ts';
import { ConnectionReceiveWindow } from './receive-windows.ts';
import { RecentResets } from './recent-resets.ts';
import { resetReason } from './reset-reasons.ts';
import { SendScheduler } from './send-scheduler.ts';
import type { Http2Stream, StreamLine } from './stream.ts';

/** A peer that does not acknowledge SETTINGS in this time ends the connection (section 6.5.3). */
const SETTINGS_MS = 10_000;
const counts: Http2Counters = uncounted();
/** Takes the fields of blocks that belong to no stream: they are decoded for the table alone. */
const NOWHERE: FieldSink = { onField() {} };

export abstract class Http2Connection<S extends Http2Stream> implements ConnectionHandler, FrameSink, StreamLine {
  readonly writer: FrameWriter;
  readonly scheduler: SendScheduler;
  readonly receiveWindow: ConnectionReceiveWindow;
  readonly flushMs: number;
  protected readonly connection: Connection;
  protected readonly options: Http2Options;
  protected readonly reader: FrameReader;
  protected readonly decoder: HpackDecoder;
  protected readonly encoder: HpackEncoder;
  protected readonly openStreams = new Map<number, S>();
  protected readonly recent = new RecentResets();
  protected readonly floods: FloodGuard;
  private readonly counters: Http2Counters;
  private readonly keepAlive: KeepAlive | undefined;
  /** Of the DATA frame that is being read; undefined: it is dropped. */
  private dataStream: S | undefined = undefined;
  /** Highest stream of the peer. */
  protected lastPeerStream = 0;
  /** What the peer's settings say. */
  protected peerWindow = DEFAULT_WINDOW;
  /** Of the SETTINGS frame that is being read: it is applied to the streams once, whatever the frame says before. */
  private nextPeerWindow = DEFAULT_WINDOW;
  protected peerStreams = Number.POSITIVE_INFINITY;
  /** Window with which the peer's data on a new stream begins: what was announced, once it is acknowledged. */
  protected ownWindow: number;
  private settingsTimer: ReturnType<typeof setTimeout> | undefined;
  /** Nothing more is read. */
  protected closed = false;

  /** @param counters absent: those of the options */
  constructor(connection: Connection, options: Http2Options, isServer: boolean, counters = options.counters) {
    this.connection = connection;
    this.options = options;
    // As in Envoy: a client's own data waits as long as its request may take.
    this.flushMs = isServer ? options.streamFlushMs : 0;
    this.counters = counters ?? counts;
    const { flood } = options;
    const blockBytes = options.maxHeadBytes * 2 + 16 * 1024;
    this.reader = new FrameReader(this, { ...flood, blockBytes }, isServer);
    this.writer = new FrameWriter(connection, flood);
    this.scheduler = new SendScheduler(this.writer);
    this.receiveWindow = new ConnectionReceiveWindow(this.writer, options);
    this.decoder = new HpackDecoder(options);
    this.encoder = new HpackEncoder(options.headerTableSize);
    this.floods = new FloodGuard(flood, isServer ? flood.earlyEndsPerSecond : Number.POSITIVE_INFINITY);
    this.keepAlive = options.keepAlive && new KeepAlive(options.keepAlive, this.writer, () => this.onPingTimeout());
    this.ownWindow = Math.max(options.initialWindow, DEFAULT_WINDOW);
    connection.handler = this;
    if (!isServer) this.writer.preface();
    this.writer.settings(this.ownSettings());
    this.receiveWindow.open();
    this.settingsTimer = setTimeout(() => this.fail(settingsLate()), SETTINGS_MS);
  }

  protected abstract ownSettings(): readonly (readonly [id: number, value: number])[];
  /** A header block of a stream that is not open. */
  protected abstract onNewHeaders(
    stream: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    endStream: boolean,
  ): void;
  /** A header block of a stream that is open. */
  protected abstract onMoreHeaders(stream: S, bytes: Uint8Array, start: number, end: number, endStream: boolean): void;
  protected abstract isIdle(stream: number): boolean;
  /** The connection ends; `closed` is set. @param reason of the streams that are open */
  protected abstract onLost(reason: ResetReason, detail: string): void;
  /** A stream is not open any more. */
  protected abstract onStreamClosed(stream: S): void;
  abstract onGoaway(lastStream: number): void;
  abstract onInternalError(stream: Http2Stream, error: unknown): void;
  abstract onEnd(): void;

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    this.keepAlive?.onRead();
    beginBatch();
    try {
      this.reader.push(bytes);
      this.onBatchRead();
    } catch (error) {
      if (error instanceof Http2Error) this.fail(error);
      else this.failInternally(error);
    } finally {
      endBatch();
    }
  }

  /** What is kept of heads and data is copied. */
  onLent(bytes: Uint8Array): void {
    this.onData(bytes);
  }

  onDrain(): void {
    this.writer.onDrain();
    this.scheduler.run();
  }

  onClose(error?: Error): void {
    this.lose('connection_termination', error?.message ?? '');
  }

  onHeaders(id: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    const stream = this.openStreams.get(id);
    if (stream === undefined) this.onNewHeaders(id, bytes, start, end, endStream);
    else if (stream.receiveEnded) {
      this.skipBlock(bytes, start, end);
      this.resetFor(stream, ERROR_CODES.STREAM_CLOSED);
    } else this.onMoreHeaders(stream, bytes, start, end, endStream);
  }

  /** Decodes a block without a receiver: the table of later blocks depends on it. */
  protected skipBlock(bytes: Uint8Array, start: number, end: number): void {
    this.decoder.decode(bytes, start, end, NOWHERE);
  }

  onDataFrame(id: number, length: number): void {
    this.receiveWindow.receive(length);
    const stream = this.openStreams.get(id);
    this.dataStream = undefined;
    if (stream === undefined) this.onLateFrame(id, 'DATA');
    else if (stream.receiveEnded) this.resetFor(stream, ERROR_CODES.STREAM_CLOSED);
    else if (!stream.receiveFrame(length)) this.resetFor(stream, ERROR_CODES.FLOW_CONTROL_ERROR);
    else this.dataStream = stream;
  }

  onDataPart(data: Uint8Array, counted: number, end: boolean): void {
    const stream = this.dataStream;
    if (stream !== undefined && !stream.over) stream.receiveData(data, counted, end);
  }

  onPriority(id: number, dependency: number): void {
    this.floods.onPriority();
    if (id !== dependency) return;
    const stream = this.openStreams.get(id);
    if (stream) this.resetFor(stream, ERROR_CODES.PROTOCOL_ERROR);
    else this.sendReset(id, ERROR_CODES.PROTOCOL_ERROR);
  }

  onReset(id: number, code: number): void {
    const stream = this.openStreams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) throw new Http2Error('PROTOCOL_ERROR', 'RST_STREAM on a stream that was not opened');
      return;
    }
    this.count('rx_reset');
    this.recent.add(id, true);
    this.close(stream);
    const reason = resetReason(code);
    stream.lose(reason, reason === 'refused_stream' ? 'http2.remote_refuse' : 'http2.remote_reset');
    this.floods.onEarlyEnd();
  }

  onSetting(id: number, value: number): void {
    if (id === SETTING.HEADER_TABLE_SIZE) this.encoder.limitTable(value);
    else if (id === SETTING.MAX_CONCURRENT_STREAMS) this.peerStreams = value;
    else if (id === SETTING.INITIAL_WINDOW_SIZE) this.nextPeerWindow = value;
  }

  /** Section 6.9.2: windows of open streams change by the difference, and may fall below 0. */
  private changePeerWindow(): void {
    const delta = this.nextPeerWindow - this.peerWindow;
    if (delta === 0) return;
    this.peerWindow = this.nextPeerWindow;
    for (const stream of this.openStreams.values()) {
      if (!this.scheduler.widenStream(stream, delta))
        throw new Http2Error('FLOW_CONTROL_ERROR', 'SETTINGS_INITIAL_WINDOW_SIZE makes a window too large');
    }
  }

  onSettings(): void {
    this.floods.onSettings(this.writer.dataFrames);
    this.changePeerWindow();
    this.writer.settingsAck();
    this.writer.check();
    this.scheduler.run();
  }

  onSettingsAck(): void {
    if (this.settingsTimer === undefined)
      throw new Http2Error('PROTOCOL_ERROR', 'an acknowledgement of SETTINGS that were not sent');
    clearTimeout(this.settingsTimer);
    this.settingsTimer = undefined;
    this.decoder.onSettingsAck();
    const delta = this.options.initialWindow - this.ownWindow;
    this.ownWindow = this.options.initialWindow;
    if (delta !== 0) for (const stream of this.openStreams.values()) stream.adjustReceiveWindow(delta);
  }

  onPing(bytes: Uint8Array, at: number, ack: boolean): void {
    if (ack) {
      this.keepAlive?.onAck(bytes, at);
      this.onPingAck(bytes, at);
    } else {
      this.writer.ping(bytes, at, true);
      this.writer.check();
    }
  }

  /** A batch of bytes was handled; what it made this side write goes out next. */
  protected onBatchRead(): void {}

  protected onPingAck(_bytes: Uint8Array, _at: number): void {}

  onWindowUpdate(id: number, increment: number): void {
    this.floods.onWindowUpdate(this.writer.dataFrames);
    if (id === 0) {
      if (increment === 0) throw new Http2Error('PROTOCOL_ERROR', 'WINDOW_UPDATE adds nothing');
      this.scheduler.widen(increment);
      return;
    }
    const stream = this.openStreams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) throw new Http2Error('PROTOCOL_ERROR', 'WINDOW_UPDATE on a stream that was not opened');
    } else if (increment === 0) this.resetFor(stream, ERROR_CODES.PROTOCOL_ERROR);
    else if (!this.scheduler.widenStream(stream, increment)) this.resetFor(stream, ERROR_CODES.FLOW_CONTROL_ERROR);
    else this.scheduler.run();
  }

  /** DATA or HEADERS on a stream that is not open (section 5.1). */
  protected onLateFrame(id: number, type: string): void {
    if (this.isIdle(id)) throw new Http2Error('PROTOCOL_ERROR', `${type} on a stream that was not opened`);
    const end = this.recent.endOf(id);
    if (end === 'reset by us') return;
    if (end === 'ended') throw new Http2Error('STREAM_CLOSED', `${type} on a stream that has ended`);
    this.sendReset(id, ERROR_CODES.STREAM_CLOSED);
    this.floods.onEarlyEnd();
  }

  /** The peer broke a rule on an open stream. */
  protected resetFor(stream: S, code: number): void {
    this.resetStream(stream, code);
    stream.lose('protocol_error', 'http2.remote_reset');
    this.floods.onEarlyEnd();
  }

  private sendReset(id: number, code: number): void {
    this.count('tx_reset');
    this.recent.add(id, false);
    this.writer.reset(id, code);
    this.writer.check();
  }

  /** A stream that the peer has opened is not taken. */
  protected refuse(id: number): void {
    this.count('stream_refused_errors');
    this.sendReset(id, ERROR_CODES.REFUSED_STREAM);
  }

  resetStream(stream: Http2Stream, code: number): void {
    this.count('tx_reset');
    this.recent.add(stream.id, false);
    this.writer.reset(stream.id, code);
    this.close(stream as S);
  }

  forget(stream: Http2Stream): void {
    this.close(stream as S);
  }

  private close(stream: S): void {
    if (stream.over) return;
    stream.close();
    this.openStreams.delete(stream.id);
    this.onStreamClosed(stream);
  }

  /** As in Envoy, the stream alone ends. */
  onWrongLength(stream: Http2Stream): void {
    this.count('rx_messaging_error');
    this.resetStream(stream, ERROR_CODES.PROTOCOL_ERROR);
    stream.lose('protocol_error', 'http2.remote_reset');
    this.floods.onEarlyEnd();
  }

  /**
   * Ends an open stream whose head or trailers cannot be read.
   * @param error what was thrown meanwhile
   * @throws it where it ends the connection
   */
  protected refuseMessage(stream: S, error: unknown): void {
    if (!(error instanceof Http2StreamError)) throw error;
    const isMalformed = error.code === ERROR_CODES.PROTOCOL_ERROR;
    this.count(isMalformed ? 'rx_messaging_error' : 'header_overflow');
    this.resetStream(stream, error.code);
    stream.lose(isMalformed ? 'protocol_error' : 'remote_reset', error.details);
    this.floods.onEarlyEnd();
    if (error instanceof MalformedMessage && !this.options.resetsStreamOnMalformed) throw error;
  }

  onFlushTimeout(stream: Http2Stream): void {
    this.count('tx_flush_timeout');
    this.resetStream(stream, ERROR_CODES.NO_ERROR);
    stream.lose('local_reset', '');
  }

  writeTrailers(id: number, trailers: HeaderMap): void {
    this.count('trailers');
    const { writer } = this;
    const start = writer.position;
    try {
      writeTrailers(this.encoder, writer.beginHeaders(), trailers);
      writer.endHeaders(start, id, true);
    } catch (error) {
      this.abandonHeaders(start, error);
    }
  }

  /** Fields that cannot be sent leave the table of the encoder in disorder: no block may follow. */
  protected abandonHeaders(start: number, error: unknown): void {
    this.writer.abandonHeaders(start);
    // The caller is in the midst of sending a message.
    queueMicrotask(() => this.failInternally(error));
  }

  protected count(name: Http2CounterName): void {
    this.counters[name].value++;
  }

  protected sendGoaway(lastStream: number, code: number): void {
    this.count('goaway_sent');
    this.writer.goaway(lastStream, code);
  }

  private onPingTimeout(): void {
    this.count('keepalive_timeout');
    this.lose('connection_termination', 'http2.ping_timeout');
  }

  /** A PING before a stream on a connection that was silent for long. */
  protected probe(): void {
    this.keepAlive?.probeIfSilent();
  }

  /** Ends the connection for an error of the peer. */
  protected fail(error: Http2Error): void {
    if (this.closed) return;
    if (error.counter) this.count(error.counter);
    this.sendGoaway(this.lastPeerStream, error.code);
    const details =
      error instanceof Http2StreamError ? error.details : `codec_error:${error.message.replaceAll(' ', '_')}`;
    this.lose('protocol_error', details);
  }

  /** An exception in this proxy; the connection ends. */
  protected abstract failInternally(error: unknown): void;

  protected lose(reason: ResetReason, detail: string): void {
    if (this.closed) return;
    this.stop();
    this.writer.flush();
    this.onLost(reason, detail);
  }

  /** Nothing more is read, and no timer runs. */
  protected stop(): void {
    this.closed = true;
    this.reader.stop();
    this.keepAlive?.stop();
    this.floods.stop();
    clearTimeout(this.settingsTimer);
  }

  /** Closes the streams that are open and notifies their sinks. */
  protected loseStreams(reason: ResetReason, detail: string): void {
    const streams = [...this.openStreams.values()];
    this.openStreams.clear();
    for (const stream of streams) stream.close();
    for (const stream of streams) stream.lose(reason, detail);
  }
}

function settingsLate(): Http2Error {
  return new Http2Error('SETTINGS_TIMEOUT', 'SETTINGS were not acknowledged in time', 'settings_timeout');
}
