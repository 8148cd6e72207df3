/** One side of an HTTP/2 connection that sends exactly what a test says and records all that comes. */
import type { Duplex } from 'node:stream';
import { FLAG, type Frame, FrameReader, frame, PREFACE, ping, SETTING, settingsAck, TYPE, unpadded } from './frames.ts';
import { type Field, HpackReader } from './hpack.ts';

export type Event =
  | { readonly kind: 'head'; readonly stream: number; readonly fields: readonly Field[]; readonly end: boolean }
  | { readonly kind: 'data'; readonly stream: number; readonly text: string; readonly end: boolean }
  | { readonly kind: 'reset'; readonly stream: number; readonly code: number }
  | { readonly kind: 'goaway'; readonly last: number; readonly code: number; readonly debug: string }
  | { readonly kind: 'settings'; readonly values: Readonly<Record<number, number>> }
  | { readonly kind: 'window'; readonly stream: number; readonly by: number }
  | { readonly kind: 'settings-ack' | 'ping' | 'ping-ack' | 'other'; readonly stream: number }
  | { readonly kind: 'closed' };

export interface PeerOptions {
  /** The other side begins with the preface of a client. */
  readonly awaitsPreface?: boolean;
  /** SETTINGS and PING are acknowledged. Default: true */
  readonly acknowledges?: boolean;
}

/** After which waiting for the other side fails. */
const LIMIT_MS = 15_000;

export class Http2Peer {
  /** In the order of their arrival. */
  readonly events: Event[] = [];
  readonly frames: Frame[] = [];
  readonly socket: Duplex;
  private readonly hpack = new HpackReader();
  private readonly acknowledges: boolean;
  private readonly watchers = new Set<() => void>();
  private prefaceLeft: number;
  private block: { stream: number; end: boolean; parts: Buffer[] } | undefined;
  private pings = 0;

  constructor(socket: Duplex, { awaitsPreface = false, acknowledges = true }: PeerOptions = {}) {
    this.socket = socket;
    this.acknowledges = acknowledges;
    this.prefaceLeft = awaitsPreface ? PREFACE.length : 0;
    const reader = new FrameReader((found) => this.onFrame(found));
    socket.on('data', (bytes: Buffer) => {
      const skipped = Math.min(this.prefaceLeft, bytes.length);
      this.prefaceLeft -= skipped;
      reader.push(bytes.subarray(skipped));
      this.notify();
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      this.events.push({ kind: 'closed' });
      this.notify();
    });
  }

  get closed(): boolean {
    return this.events.at(-1)?.kind === 'closed';
  }

  send(...frames: readonly Uint8Array[]): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(Buffer.concat(frames));
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Resolves once `check` holds; it is asked after each batch of bytes, and when the connection ends. @throws after 15 s */
  until(what: string, check: () => boolean, limitMs = LIMIT_MS): Promise<void> {
    return new Promise((done, fail) => {
      const ask = () => {
        if (!check()) return;
        clearTimeout(timer);
        this.watchers.delete(ask);
        done();
      };
      const timer = setTimeout(() => {
        this.watchers.delete(ask);
        fail(new Error(`not within ${limitMs} ms: ${what}`));
      }, limitMs);
      this.watchers.add(ask);
      ask();
    });
  }

  /** The first event of a kind, of a stream where one is named. */
  first<Kind extends Event['kind']>(kind: Kind, stream?: number): Extract<Event, { kind: Kind }> | undefined {
    return this.events.find(
      (event): event is Extract<Event, { kind: Kind }> =>
        event.kind === kind && (stream === undefined || ('stream' in event && event.stream === stream)),
    );
  }

  /** Settings of the other side and its connection's window, whether they were sent or hold unsent. */
  announced(): object {
    const defaults = { [SETTING.tableSize]: 4096, [SETTING.window]: 65_535, [SETTING.connectProtocol]: 0 };
    const values: Readonly<Record<number, number>> = { ...defaults, ...this.first('settings')?.values };
    return {
      table: values[SETTING.tableSize],
      streams: values[SETTING.streams],
      window: values[SETTING.window],
      connect: values[SETTING.connectProtocol],
      connection: this.first('window', 0)?.by,
    };
  }

  /** A stream has ended: by END_STREAM, by RST_STREAM, or with the connection. */
  ended(stream: number): boolean {
    return this.events.some(
      (event) =>
        event.kind === 'closed' ||
        ((event.kind === 'head' || event.kind === 'data') && event.stream === stream && event.end) ||
        (event.kind === 'reset' && event.stream === stream),
    );
  }

  /** Waits until the other side has read everything that was sent: a PING that it acknowledges, or its end. */
  async settled(limitMs = LIMIT_MS): Promise<void> {
    const wanted = ++this.pings;
    const acks = () => this.events.filter(({ kind }) => kind === 'ping-ack').length;
    this.send(ping());
    await this.until('the PING is acknowledged', () => this.closed || acks() >= wanted, limitMs);
  }

  private notify(): void {
    for (const watcher of [...this.watchers]) watcher();
  }

  private onFrame(found: Frame): void {
    const { type, flags, stream, payload } = found;
    this.frames.push({ ...found, payload: Buffer.from(payload) });
    const ack = (flags & FLAG.ack) !== 0;
    if (type === TYPE.headers || type === TYPE.continuation) this.onHeaders(found);
    else if (type === TYPE.data)
      this.events.push({
        ...{ kind: 'data', stream, text: unpadded(found).toString('latin1'), end: (flags & FLAG.end) !== 0 },
      });
    else if (type === TYPE.rstStream) this.events.push({ kind: 'reset', stream, code: payload.readUInt32BE(0) });
    else if (type === TYPE.goaway)
      this.events.push({
        ...{ kind: 'goaway', last: payload.readUInt32BE(0), code: payload.readUInt32BE(4) },
        debug: payload.toString('latin1', 8),
      });
    else if (type === TYPE.windowUpdate) this.events.push({ kind: 'window', stream, by: payload.readUInt32BE(0) });
    else if (type === TYPE.settings) this.onSettings(ack, payload);
    else if (type === TYPE.ping) {
      this.events.push({ kind: ack ? 'ping-ack' : 'ping', stream });
      if (!ack && this.acknowledges) this.send(frame(TYPE.ping, FLAG.ack, 0, payload));
    } else this.events.push({ kind: 'other', stream });
  }

  private onSettings(ack: boolean, payload: Buffer): void {
    if (ack) {
      this.events.push({ kind: 'settings-ack', stream: 0 });
      return;
    }
    const values: Record<number, number> = {};
    for (let at = 0; at + 6 <= payload.length; at += 6) values[payload.readUInt16BE(at)] = payload.readUInt32BE(at + 2);
    this.events.push({ kind: 'settings', values });
    if (this.acknowledges) this.send(settingsAck());
  }

  private onHeaders(found: Frame): void {
    const part = unpadded(found);
    if (found.type === TYPE.headers)
      this.block = { stream: found.stream, end: (found.flags & FLAG.end) !== 0, parts: [part] };
    else this.block?.parts.push(part);
    if (!this.block || !(found.flags & FLAG.endHeaders)) return;
    const { stream, end, parts } = this.block;
    this.block = undefined;
    this.events.push({ kind: 'head', stream, fields: this.hpack.read(Buffer.concat(parts)), end });
  }
}
