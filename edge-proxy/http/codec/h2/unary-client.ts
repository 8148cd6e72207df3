/**
 * The client side of an HTTP/2 connection that carries one exchange at a time: a whole request, and its response
 * (RFC 9113). Whatever a peer sends is understood, ignored where the RFC says so, or ends the connection; nothing grows
 * with it.
 */
import type { Connection } from '../../../runtime/runtime.ts';
import { concat } from '../bytes.ts';
import { ByteBuffer } from './byte-buffer.ts';
import { ERROR_CODES, Http2Error } from './error.ts';
import { type Field, FieldList } from './fields.ts';
import {
  CLIENT_PREFACE,
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  FLAG,
  FRAME,
  FrameReader,
  type FrameSink,
  frame,
  goawayFrame,
  headersFrames,
  LARGEST_WINDOW,
  resetFrame,
  SETTING,
  settingsFrame,
  windowUpdateFrame,
} from './frames.ts';
import { DEFAULT_TABLE_SIZE, HpackDecoder, HpackEncoder } from './hpack.ts';
import { type ResetCause, UnaryExchange, type UnaryOwner, type UnaryRequest } from './unary-exchange.ts';

export type { ResetCause, UnaryOwner, UnaryRequest } from './unary-exchange.ts';

const LIST_SIZE = 60 * 1024;
const FIELDS = 100;
/** Bytes that wait for a peer which asks and does not read. */
const MOST_BUFFERED = 256 * 1024;
/** Streams that were given up, of which the peer may not know yet. */
const MOST_GIVEN_UP = 100;
const LAST_STREAM = 0x7fffffff;

const frameLimits = { frameSize: DEFAULT_FRAME_SIZE, blockSize: 64 * 1024, continuations: 32 };
const hello = concat(
  CLIENT_PREFACE,
  settingsFrame([
    [SETTING.HEADER_TABLE_SIZE, DEFAULT_TABLE_SIZE],
    [SETTING.ENABLE_PUSH, 0],
    [SETTING.MAX_CONCURRENT_STREAMS, 0],
    [SETTING.INITIAL_WINDOW_SIZE, DEFAULT_WINDOW],
    [SETTING.MAX_HEADER_LIST_SIZE, LIST_SIZE],
  ]),
);

export class UnaryClient implements FrameSink {
  private readonly connection: Connection;
  private readonly onGone: () => void;
  private readonly reader: FrameReader = new FrameReader(this, frameLimits);
  private readonly decoder = new HpackDecoder({
    headerTableSize: DEFAULT_TABLE_SIZE,
    maxHeadBytes: LIST_SIZE,
    maxFields: FIELDS,
  });
  private readonly encoder = new HpackEncoder();
  private exchange: UnaryExchange | undefined;
  private lastStream = -1;
  /** Streams that were given up, and the bytes that may still come on each. */
  private readonly givenUp = new Map<number, number>();
  private goingAway = false;
  /** The last stream that the peer may still answer. */
  private lastServed = LARGEST_WINDOW;
  private closed = false;
  private acknowledged = false;
  private sendWindow = DEFAULT_WINDOW;
  private receiveWindow = DEFAULT_WINDOW;
  /** What the peer's settings say of new streams and of frames. */
  private peerWindow = DEFAULT_WINDOW;
  private peerFrameSize = DEFAULT_FRAME_SIZE;
  private peerStreams = Number.POSITIVE_INFINITY;

  /**
   * Takes over an open, unused connection.
   * @param onGone called once, when it is closed by whichever side; the exchange under way hears first
   */
  constructor(connection: Connection, onGone: () => void) {
    this.connection = connection;
    this.onGone = onGone;
    connection.handler = {
      onData: (bytes) => this.receive(bytes),
      onDrain() {},
      onEnd: () => this.lose('connection-closed'),
      onClose: () => this.lose('connection-closed'),
    };
    connection.write(hello);
  }

  /** Exchanges may follow the one under way. */
  get reusable(): boolean {
    return !this.closed && !this.goingAway && this.lastStream + 2 <= LAST_STREAM;
  }

  /** Sends a request: while `reusable`, and none is under way. It waits where the peer's settings and windows say so. */
  start(request: UnaryRequest, owner: UnaryOwner): void {
    if (!this.reusable || this.exchange) throw new Error('the connection takes no request now');
    this.lastStream += 2;
    this.exchange = new UnaryExchange(this.lastStream, request, owner, this.peerWindow);
    this.send();
  }

  /** Gives up the exchange under way and keeps the connection; its owner hears nothing more. */
  cancel(): void {
    const { exchange } = this;
    if (!exchange) return;
    this.exchange = undefined;
    if (exchange.headSent) this.giveUp(exchange);
    if (this.goingAway) this.close();
  }

  /** Closes at once; an owner hears nothing more. */
  close(): void {
    this.exchange = undefined;
    if (this.closed) return;
    this.closed = true;
    this.reader.stop();
    this.connection.destroy();
    this.onGone();
  }

  private receive(bytes: Uint8Array): void {
    if (this.closed) return;
    try {
      this.reader.push(bytes);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.connection.write(goawayFrame(0, error.code));
      this.lose('protocol-error');
    }
  }

  /** The connection is of no more use. */
  private lose(why: ResetCause): void {
    const { exchange } = this;
    this.close();
    exchange?.owner.onReset(why);
  }

  private send(): void {
    const { exchange } = this;
    if (!exchange || exchange.requestDone) return;
    const { stream, request } = exchange;
    const body = request.body ?? new Uint8Array(0);
    const out: Uint8Array[] = [];
    if (!exchange.headSent) {
      if (this.peerStreams < 1) return;
      out.push(...headersFrames(stream, this.encode(request.fields), body.length === 0, this.peerFrameSize));
      exchange.headSent = true;
    }
    while (exchange.sent < body.length) {
      const room = Math.min(this.peerFrameSize, this.sendWindow, exchange.sendWindow);
      if (room <= 0) break;
      const part = body.subarray(exchange.sent, exchange.sent + room);
      exchange.sent += part.length;
      exchange.sendWindow -= part.length;
      this.sendWindow -= part.length;
      out.push(frame(FRAME.DATA, exchange.sent === body.length ? FLAG.END_STREAM : 0, stream, part));
    }
    exchange.requestDone = exchange.sent === body.length;
    if (out.length > 0) this.connection.write(out.reduce(concat));
  }

  private encode(fields: readonly Field[]): Uint8Array {
    const block = new ByteBuffer();
    this.encoder.begin(block);
    for (const [name, value] of fields) this.encoder.field(block, name, value);
    return block.bytes.subarray(0, block.length);
  }

  /** An answer to what the peer sent. */
  private reply(bytes: Uint8Array): void {
    if (this.connection.buffered > MOST_BUFFERED)
      throw new Http2Error('ENHANCE_YOUR_CALM', 'the peer asks and does not read');
    this.connection.write(bytes);
  }

  private giveUp({ stream, receiveWindow }: UnaryExchange): void {
    this.givenUp.set(stream, receiveWindow);
    for (const oldest of this.givenUp.keys()) {
      if (this.givenUp.size <= MOST_GIVEN_UP) break;
      this.givenUp.delete(oldest);
    }
    this.connection.write(resetFrame(stream, ERROR_CODES.CANCEL));
  }

  /** The exchange of a stream; undefined: one that is over, for frames that may still come. */
  private exchangeOf(stream: number): UnaryExchange | undefined {
    if (this.exchange?.stream === stream && this.exchange.headSent) return this.exchange;
    if (stream % 2 === 0 || stream >= this.lastStream + (this.exchange && !this.exchange.headSent ? 0 : 2))
      throw new Http2Error('PROTOCOL_ERROR', 'a frame on a stream that was not opened');
    return undefined;
  }

  onHeaders(stream: number, block: Uint8Array, endStream: boolean): void {
    // Also a block without a receiver: the table of later blocks depends on it.
    const list = new FieldList();
    this.decoder.decode(block, 0, block.length, list);
    const exchange = this.exchangeOf(stream);
    if (!exchange) {
      this.checkLate(stream, 0, endStream);
      return;
    }
    exchange.onHeaders(list.fields, endStream);
    if (endStream) this.finish(exchange);
  }

  onData(stream: number, data: Uint8Array, counted: number, endStream: boolean): void {
    // Windows are opened again at half of their size, which no frame has: they are never exceeded.
    this.receiveWindow -= counted;
    const exchange = this.exchangeOf(stream);
    if (exchange) {
      exchange.receiveWindow -= counted;
      exchange.onData(data, endStream);
      if (endStream) this.finish(exchange);
    } else this.checkLate(stream, counted, endStream);
    this.openWindows();
  }

  onReset(stream: number, code: number): void {
    const exchange = this.exchangeOf(stream);
    this.givenUp.delete(stream);
    if (!exchange) return;
    this.exchange = undefined;
    if (this.goingAway) this.close();
    exchange.owner.onReset(code === ERROR_CODES.REFUSED_STREAM ? 'refused' : 'reset');
  }

  onSettings(settings: readonly (readonly [id: number, value: number])[]): void {
    for (const [id, value] of settings) this.apply(id, value);
    this.reply(frame(FRAME.SETTINGS, FLAG.ACK, 0));
    this.send();
  }

  onSettingsAck(): void {
    if (this.acknowledged) throw new Http2Error('PROTOCOL_ERROR', 'an acknowledgement of SETTINGS that were not sent');
    this.acknowledged = true;
  }

  onPing(opaque: Uint8Array, ack: boolean): void {
    if (!ack) this.reply(frame(FRAME.PING, FLAG.ACK, 0, opaque));
  }

  onGoaway(lastStream: number, code: number): void {
    if (lastStream > this.lastServed) throw new Http2Error('PROTOCOL_ERROR', 'a GOAWAY takes more than the one before');
    this.lastServed = lastStream;
    this.goingAway = true;
    const { exchange } = this;
    if (!exchange || code !== ERROR_CODES.NO_ERROR) this.lose('goaway');
    else if (exchange.stream > lastStream) this.lose('refused');
  }

  onWindowUpdate(stream: number, increment: number): void {
    if (stream === 0) {
      this.sendWindow += increment;
      if (this.sendWindow > LARGEST_WINDOW)
        throw new Http2Error('FLOW_CONTROL_ERROR', 'the window of the connection is too large');
    } else this.exchangeOf(stream)?.widen(increment);
    this.send();
  }

  private apply(id: number, value: number): void {
    switch (id) {
      case SETTING.HEADER_TABLE_SIZE:
        this.encoder.limitTable(value);
        return;
      case SETTING.ENABLE_PUSH:
        if (value !== 0) throw new Http2Error('PROTOCOL_ERROR', 'a server enables push');
        return;
      case SETTING.MAX_CONCURRENT_STREAMS:
        this.peerStreams = value;
        return;
      case SETTING.INITIAL_WINDOW_SIZE:
        this.exchange?.widen(value - this.peerWindow);
        this.peerWindow = value;
        return;
      case SETTING.MAX_FRAME_SIZE:
        this.peerFrameSize = value;
        return;
      default:
      // MAX_HEADER_LIST_SIZE is advice; unknown settings are ignored (section 6.5.2).
    }
  }

  /** A stream that was over: only the peer of one that this side gave up may not know yet (section 5.1). */
  private checkLate(stream: number, counted: number, endStream: boolean): void {
    const window = this.givenUp.get(stream);
    if (window === undefined) throw new Http2Error('STREAM_CLOSED', 'a frame on a stream that is closed');
    if (counted > window) throw new Http2Error('FLOW_CONTROL_ERROR', 'more data than the stream may carry');
    if (endStream) this.givenUp.delete(stream);
    else this.givenUp.set(stream, window - counted);
  }

  private finish(exchange: UnaryExchange): void {
    // Its owner may have given it up meanwhile.
    if (this.exchange !== exchange) {
      this.givenUp.delete(exchange.stream);
      return;
    }
    this.exchange = undefined;
    // The peer knows enough before it has read the whole request (section 8.1).
    if (!exchange.requestDone) {
      this.connection.write(resetFrame(exchange.stream, ERROR_CODES.CANCEL));
    }
    if (this.goingAway) this.close();
    exchange.owner.onEnd();
  }

  private openWindows(): void {
    if (this.closed) return;
    const { exchange } = this;
    if (this.receiveWindow < DEFAULT_WINDOW / 2) {
      this.reply(windowUpdateFrame(0, DEFAULT_WINDOW - this.receiveWindow));
      this.receiveWindow = DEFAULT_WINDOW;
    }
    if (exchange && exchange.receiveWindow < DEFAULT_WINDOW / 2) {
      this.reply(windowUpdateFrame(exchange.stream, DEFAULT_WINDOW - exchange.receiveWindow));
      exchange.receiveWindow = DEFAULT_WINDOW;
    }
  }
}
