/** One side of an HTTP/2 connection of the load generator and its upstream: frames, and windows that are honoured both ways. */
import type net from 'node:net';
import {
  data as dataFrame,
  FLAG,
  type Frame,
  FrameReader,
  frame,
  SETTING,
  settings,
  settingsAck,
  TYPE,
  unpadded,
  windowUpdate,
} from '../../kit/http2/frames.ts';

export interface Http2Owner {
  /** A head or trailers; `block` is not decoded. */
  onHead(stream: number, block: Buffer, end: boolean): void;
  onData(stream: number, length: number, end: boolean): void;
  onReset(stream: number): void;
}

const LARGEST_WINDOW = 2 ** 31 - 1;
/** Received bytes after which the connection's window is opened again. */
const REOPEN = 2 ** 26;
const FRAME = 16_384;

export class Http2Connection {
  /** What the peer takes of the connection and of each stream. */
  private window = 65_535;
  private initial = 65_535;
  private readonly windows = new Map<number, number>();
  private readonly received = new Map<number, number>();
  private unopened = 0;
  private waiting: (() => void)[] = [];
  private out: Uint8Array[] = [];
  private reading = false;
  private readonly socket: net.Socket;
  private readonly owner: Http2Owner;

  /** @param preface bytes that the other side sends first */
  constructor(socket: net.Socket, owner: Http2Owner, preface = 0) {
    this.socket = socket;
    this.owner = owner;
    let skipped = preface;
    const reader = new FrameReader((found) => this.onFrame(found));
    socket.on('data', (bytes) => {
      const from = Math.min(skipped, bytes.length);
      skipped -= from;
      this.reading = true;
      reader.push(from > 0 ? bytes.subarray(from) : bytes);
      this.reading = false;
      this.flush();
    });
  }

  /** The first frames of this side; `before` them: a client's preface. */
  begin(before: Uint8Array = Buffer.alloc(0)): void {
    const own = settings([
      [SETTING.window, LARGEST_WINDOW],
      [SETTING.streams, 1_000_000],
    ]);
    this.send(before, own, windowUpdate(0, LARGEST_WINDOW - 65_535));
  }

  /** Frames that no window holds back. */
  send(...frames: readonly Uint8Array[]): void {
    this.out.push(...frames);
    if (!this.reading) this.flush();
  }

  /** Sends a whole body of a few bytes once the windows allow it. */
  sendSmall(stream: number, body: Uint8Array, end: boolean, then: () => void = () => {}): void {
    if (Math.min(this.window, this.of(stream)) < body.length) {
      this.waiting.push(() => this.sendSmall(stream, body, end, then));
      return;
    }
    this.spend(stream, body.length);
    this.send(dataFrame(stream, body, end));
    then();
  }

  /** Sends without end, as fast as the windows and the socket take it. @param onSent hears how much was written */
  pump(stream: number, onSent: (bytes: number) => void = () => {}): void {
    const piece = Buffer.alloc(FRAME, 'x');
    const go = () => {
      this.flush();
      while (this.socket.writable) {
        const length = Math.min(FRAME, this.window, this.of(stream));
        if (length <= 0) {
          this.waiting.push(go);
          return;
        }
        this.spend(stream, length);
        onSent(length);
        if (!this.socket.write(dataFrame(stream, piece.subarray(0, length)))) {
          this.socket.once('drain', go);
          return;
        }
      }
    };
    go();
  }

  /** Nothing more of a stream comes or goes. */
  forget(stream: number): void {
    this.windows.delete(stream);
    this.received.delete(stream);
  }

  private of(stream: number): number {
    return this.windows.get(stream) ?? this.initial;
  }

  private spend(stream: number, length: number): void {
    this.window -= length;
    this.windows.set(stream, this.of(stream) - length);
  }

  private flush(): void {
    if (this.out.length === 0) return;
    const bytes = this.out.length === 1 ? this.out[0]! : Buffer.concat(this.out);
    this.out = [];
    if (this.socket.writable) this.socket.write(bytes);
  }

  private onFrame(found: Frame): void {
    const { type, flags, stream, payload } = found;
    const end = (flags & FLAG.end) !== 0;
    if (type === TYPE.data) this.onData(stream, payload.length, end);
    else if (type === TYPE.headers) {
      if (!(flags & FLAG.endHeaders)) throw new Error('a head in several frames');
      this.owner.onHead(stream, unpadded(found), end);
    } else if (type === TYPE.windowUpdate) {
      const by = payload.readUInt32BE(0);
      if (stream === 0) this.window += by;
      else if (this.windows.has(stream)) this.windows.set(stream, this.of(stream) + by);
      this.wake();
    } else if (type === TYPE.settings && !(flags & FLAG.ack)) this.onSettings(payload);
    else if (type === TYPE.ping && !(flags & FLAG.ack)) this.send(frame(TYPE.ping, FLAG.ack, 0, payload));
    else if (type === TYPE.rstStream) this.owner.onReset(stream);
  }

  private onData(stream: number, length: number, end: boolean): void {
    this.unopened += length;
    if (this.unopened >= REOPEN) {
      this.send(windowUpdate(0, this.unopened));
      this.unopened = 0;
    }
    if (length >= 4096 && !end) {
      const own = (this.received.get(stream) ?? 0) + length;
      this.received.set(stream, own >= REOPEN ? 0 : own);
      if (own >= REOPEN) this.send(windowUpdate(stream, own));
    }
    this.owner.onData(stream, length, end);
  }

  private onSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== SETTING.window) continue;
      const initial = payload.readUInt32BE(at + 2);
      for (const [stream, window] of this.windows) this.windows.set(stream, window + initial - this.initial);
      this.initial = initial;
    }
    this.send(settingsAck());
    this.wake();
  }

  private wake(): void {
    for (const retry of this.waiting.splice(0)) retry();
  }
}
