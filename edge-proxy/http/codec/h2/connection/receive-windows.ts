/**
 * Flow control of what the peer sends (RFC 9113 section 5.2). Bytes are given back as the other side drains them: what is
 * delivered to a stream that is paused is withheld. A stream begins with a small window, which doubles as long as its data
 * is drained at once and halves when it is not, so that one that stalls holds little.
 */
import { Http2Error } from '../error.ts';
import { DEFAULT_WINDOW } from '../frames.ts';
import type { FrameWriter } from './frame-writer.ts';

/** Bytes by which the windows of a connection's streams may grow together. */
const MOST_GROWTH = 4 * 1024 * 1024;

export interface WindowSizes {
  /** SETTINGS_INITIAL_WINDOW_SIZE. */
  readonly initialWindow: number;
  /** Largest window of a stream. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
}

export class ConnectionReceiveWindow {
  private readonly writer: FrameWriter;
  readonly sizes: WindowSizes;
  /** Bytes that the peer may send. */
  private left: number = DEFAULT_WINDOW;
  private readonly size: number;
  /** Bytes to be given back. */
  private owed = 0;
  /** Bytes that were delivered to streams which are paused. */
  private withheld = 0;
  /** Bytes by which windows of streams have grown. */
  private growth = 0;

  constructor(writer: FrameWriter, sizes: WindowSizes) {
    this.writer = writer;
    this.sizes = sizes;
    this.size = Math.max(sizes.connectionWindow, DEFAULT_WINDOW);
  }

  /** The window that a connection begins with can only be made larger. */
  open(): void {
    if (this.size === DEFAULT_WINDOW) return;
    this.writer.windowUpdate(0, this.size - DEFAULT_WINDOW);
    this.left = this.size;
  }

  /** @throws Http2Error FLOW_CONTROL_ERROR */
  receive(bytes: number): void {
    this.left -= bytes;
    if (this.left < 0) throw new Http2Error('FLOW_CONTROL_ERROR', 'more data than the window of the connection allows');
    this.owed += bytes;
    this.giveBack();
  }

  /** Streams that are paused take from the window of the others only when they hold as much as that window. */
  private giveBack(): void {
    if (this.owed < this.size / 2 || this.withheld > this.size) return;
    this.writer.windowUpdate(0, this.owed);
    this.left += this.owed;
    this.owed = 0;
  }

  withhold(bytes: number): void {
    this.withheld += bytes;
  }

  release(bytes: number): void {
    this.withheld -= bytes;
    this.giveBack();
  }

  /** @returns by how much a stream's window may grow: `wanted` or 0 */
  grow(wanted: number): number {
    if (this.growth + wanted > MOST_GROWTH) return 0;
    this.growth += wanted;
    return wanted;
  }

  shrink(bytes: number): void {
    this.growth -= bytes;
  }
}

export class StreamReceiveWindow {
  private readonly connection: ConnectionReceiveWindow;
  private readonly writer: FrameWriter;
  /** Bytes that the peer may send; below 0 after SETTINGS made the window smaller. */
  private left: number;
  private size: number;
  private growth = 0;
  /** Bytes to be given back. */
  private owed = 0;
  /** Part of `owed`: delivered while the stream was paused. */
  private withheld = 0;
  paused = false;
  /** Since bytes were given back last. */
  private wasPaused = false;

  constructor(connection: ConnectionReceiveWindow, writer: FrameWriter, initial: number) {
    this.connection = connection;
    this.writer = writer;
    this.left = initial;
    this.size = initial;
  }

  /** @returns false: more than the window allows */
  receive(bytes: number): boolean {
    this.left -= bytes;
    return this.left >= 0;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE of this side has come into force. */
  adjust(delta: number): void {
    this.left += delta;
    this.size += delta;
  }

  /** Bytes were delivered. @param stream gets the credit; 0: none, the peer sends no more on it */
  deliver(bytes: number, stream: number): void {
    this.owed += bytes;
    if (this.paused) {
      this.withheld += bytes;
      this.connection.withhold(bytes);
    } else this.giveBack(stream);
  }

  pause(): void {
    this.paused = true;
    this.wasPaused = true;
  }

  resume(stream: number): void {
    this.paused = false;
    this.release();
    this.giveBack(stream);
  }

  private giveBack(stream: number): void {
    if (stream === 0 || this.owed === 0 || this.owed < this.size / 2) return;
    const increment = this.owed + (this.wasPaused ? -this.shrink() : this.grow());
    this.wasPaused = false;
    this.owed = 0;
    this.left += increment;
    if (increment > 0) this.writer.windowUpdate(stream, increment);
  }

  /** A window that is larger than what is drained at once only fills the memory. */
  private shrink(): number {
    const bytes = Math.min(this.growth, this.owed, Math.floor(this.size / 2));
    this.size -= bytes;
    this.growth -= bytes;
    this.connection.shrink(bytes);
    return bytes;
  }

  private grow(): number {
    const wanted = Math.min(this.size, this.connection.sizes.streamWindow - this.size);
    const granted = wanted > 0 ? this.connection.grow(wanted) : 0;
    this.size += granted;
    this.growth += granted;
    return granted;
  }

  private release(): void {
    if (this.withheld === 0) return;
    const { withheld } = this;
    this.withheld = 0;
    this.connection.release(withheld);
  }

  /** The stream is over. */
  close(): void {
    this.release();
    if (this.growth > 0) this.connection.shrink(this.growth);
    this.growth = 0;
  }
}
