/** A downstream connection of the toy protocol in frames.ts: proves that sessions and exchanges serve several streams. */
import type { Connection, ConnectionHandler } from '../../runtime/runtime.ts';
import { joined } from '../codec/bytes.ts';
import type { DownstreamCodec, DownstreamOwner } from '../codec/codecs.ts';
import { beginBatch, type Corked, endBatch, uncorkSoon } from '../codec/cork.ts';
import type { OpenCodec } from '../downstream/session.ts';
import { codecError } from '../message/codec-error.ts';
import * as frames from './frames.ts';
import { credit, creditOf, encodeFrame, type Frame, FrameReader, GOAWAY, json, parsed, RESET } from './frames.ts';
import { MultiStream, type StreamLine } from './multi-stream.ts';

export const openMultiStream: OpenCodec = (connection, _config, owner) => new MultiStreamConnection(connection, owner);

class MultiStreamConnection implements DownstreamCodec, ConnectionHandler, Corked, StreamLine {
  readonly version = 'HTTP/2';
  private readonly connection: Connection;
  private readonly owner: DownstreamOwner;
  private readonly reader = new FrameReader();
  private readonly streams = new Map<number, MultiStream>();
  private out: Uint8Array[] = [];
  private queued = false;
  private lastStream = 0;
  private draining = false;
  private closed = false;
  /** The connection is above its high-water mark. */
  blocked = false;

  constructor(connection: Connection, owner: DownstreamOwner) {
    this.connection = connection;
    this.owner = owner;
    connection.handler = this;
  }

  get idle(): boolean {
    return this.streams.size === 0 && !this.reader.partialHead;
  }

  drain(): void {
    if (this.draining || this.closed) return;
    this.draining = true;
    this.send(GOAWAY, false, this.lastStream, new Uint8Array(0));
    this.closeWhenDone();
  }

  rejectHead(): MultiStream {
    const id = this.reader.partialStream;
    this.reader.drop();
    const stream = new MultiStream(this, id, true);
    this.streams.set(id, stream);
    this.drain();
    return stream;
  }

  destroy(): void {
    this.lose('local_reset');
  }

  onData(bytes: Uint8Array): void {
    if (this.closed) return;
    if (this.lastStream === 0 && !this.reader.partial && !this.owner.admitsFirstBytes()) {
      this.destroy();
      return;
    }
    beginBatch();
    try {
      this.reader.read(bytes, (frame) => this.onFrame(frame));
    } catch (error) {
      this.owner.onInternalError(error);
      this.destroy();
    } finally {
      endBatch();
    }
    if (!this.closed && this.reader.partialHead) this.owner.onPartialHead();
  }

  private onFrame(frame: Frame): void {
    const { type, end, stream: id, payload } = frame;
    if (this.closed) return;
    if (type === frames.HEAD) {
      this.onHead(frame);
      return;
    }
    const stream = this.streams.get(id);
    if (!stream) return;
    if (type === frames.DATA) stream.receive(payload, end);
    else if (type === frames.TRAILERS) stream.receiveTrailers(frames.headersOf(parsed(payload) as frames.Fields));
    else if (type === frames.CREDIT) stream.grow(creditOf(payload));
    else if (type === RESET) stream.lose(parsed(payload) as 'remote_reset', 'toy.remote_reset');
  }

  private onHead({ end, stream: id, payload }: Frame): void {
    if (this.draining) {
      this.send(RESET, true, id, json('refused_stream'));
      return;
    }
    this.lastStream = id;
    const stream = new MultiStream(this, id, end);
    this.streams.set(id, stream);
    let head: frames.RequestFields;
    try {
      head = parsed(payload) as frames.RequestFields;
    } catch {
      this.owner.onMalformed(codecError('a head is not JSON'), stream);
      return;
    }
    const bodySize = end ? 0 : head.bodySize;
    stream.sink = this.owner.onRequest(
      stream,
      {
        method: head.method,
        scheme: 'http',
        authority: head.authority,
        path: head.path,
        headers: frames.headersOf(head.headers),
        bodySize,
        upgrade: '',
        wantsContinue: false,
        version: 'HTTP/2',
      },
      end,
    );
  }

  onDrain(): void {
    this.blocked = false;
    for (const stream of [...this.streams.values()]) stream.flush();
  }

  onEnd(): void {
    this.onClose();
  }

  onClose(): void {
    this.lose('connection_termination');
  }

  private lose(reason: 'local_reset' | 'connection_termination'): void {
    if (this.closed) return;
    this.closed = true;
    this.uncork();
    for (const stream of [...this.streams.values()]) stream.lose(reason, '');
    this.streams.clear();
    this.connection.destroy();
    this.owner.onClosed();
  }

  endsSoon(): void {
    if (this.owner.endsConnection()) this.drain();
  }

  streamEnded(stream: MultiStream): void {
    this.streams.delete(stream.id);
    if (this.closed) return;
    if (this.draining) this.closeWhenDone();
    else if (this.idle) this.owner.onIdle();
  }

  private closeWhenDone(): void {
    if (this.streams.size > 0 || this.closed) return;
    this.closed = true;
    this.uncork();
    this.owner.onClosing();
    this.connection.end();
    this.owner.onClosed();
  }

  grant(id: number, bytes: number): void {
    this.send(frames.CREDIT, false, id, credit(bytes));
  }

  send(type: number, end: boolean, id: number, payload: Uint8Array): void {
    this.out.push(encodeFrame(type, end, id, payload));
    if (this.queued) return;
    this.queued = true;
    uncorkSoon(this);
  }

  uncork(): void {
    this.queued = false;
    if (this.out.length === 0) return;
    const { out } = this;
    this.out = [];
    const size = out.reduce((sum, one) => sum + one.length, 0);
    if (!this.connection.write(joined(out, size))) this.blocked = true;
  }
}
