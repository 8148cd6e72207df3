/** A client of the toy protocol in frames.ts, over any byte stream. */
import * as frames from './frames.ts';

/** What came on one stream. */
export class ClientStream {
  readonly id: number;
  head: frames.ResponseFields | undefined;
  interim: number[] = [];
  body = '';
  bytes = 0;
  trailers: frames.Fields | undefined;
  ended = false;
  reset: string | undefined;
  /** Bytes that may be sent. */
  credit = frames.WINDOW;

  constructor(id: number) {
    this.id = id;
  }

  get status(): number | undefined {
    return this.head?.status;
  }

  header(name: string): string | undefined {
    return this.head?.headers.find(([key]) => key === name)?.[1];
  }
}

export class MultiStreamClient {
  readonly streams = new Map<number, ClientStream>();
  goaway = false;
  closed = false;
  private readonly write: (bytes: Uint8Array) => void;
  private readonly reader = new frames.FrameReader();
  /** Streams whose data is given no further credit. */
  private readonly slow = new Set<number>();
  private next = 1;
  private waiters: { until: () => boolean; resolve: () => void }[] = [];

  constructor(write: (bytes: Uint8Array) => void) {
    this.write = write;
  }

  /** @param end the request has no body; else `send` follows */
  request(head: Partial<frames.RequestFields>, end = true): ClientStream {
    const stream = new ClientStream(this.next);
    this.next += 2;
    this.streams.set(stream.id, stream);
    const whole = { method: end ? 'GET' : 'POST', path: '/', authority: 'h', headers: [], ...head };
    this.frame(frames.HEAD, end, stream.id, frames.json(whole));
    return stream;
  }

  /** As much as the credit allows. @returns how many bytes that were */
  send(stream: ClientStream, bytes: Uint8Array, end = false): number {
    const part = bytes.subarray(0, stream.credit);
    stream.credit -= part.length;
    this.frame(frames.DATA, end && part.length === bytes.length, stream.id, part);
    return part.length;
  }

  trailers(stream: ClientStream, fields: frames.Fields): void {
    this.frame(frames.TRAILERS, true, stream.id, frames.json(fields));
  }

  reset(stream: ClientStream, reason: string): void {
    this.frame(frames.RESET, true, stream.id, frames.json(reason));
  }

  /** Gives no credit for what comes on this stream, until `hurry`. */
  slowDown(stream: ClientStream): void {
    this.slow.add(stream.id);
  }

  hurry(stream: ClientStream): void {
    this.slow.delete(stream.id);
    this.frame(frames.CREDIT, false, stream.id, frames.credit(stream.bytes));
  }

  frame(type: number, end: boolean, id: number, payload: Uint8Array): void {
    this.write(frames.encodeFrame(type, end, id, payload));
  }

  raw(bytes: Uint8Array): void {
    this.write(bytes);
  }

  onBytes(bytes: Uint8Array): void {
    this.reader.read(bytes, (frame) => this.onFrame(frame));
    this.check();
  }

  onClose(): void {
    this.closed = true;
    this.check();
  }

  private onFrame({ type, end, stream: id, payload }: frames.Frame): void {
    if (type === frames.GOAWAY) {
      this.goaway = true;
      return;
    }
    let stream = this.streams.get(id);
    if (!stream) this.streams.set(id, (stream = new ClientStream(id)));
    if (type === frames.HEAD) stream.head = frames.parsed(payload) as frames.ResponseFields;
    else if (type === frames.INTERIM) stream.interim.push((frames.parsed(payload) as frames.ResponseFields).status);
    else if (type === frames.TRAILERS) stream.trailers = frames.parsed(payload) as frames.Fields;
    else if (type === frames.RESET) stream.reset = frames.parsed(payload) as string;
    else if (type === frames.CREDIT) stream.credit += frames.creditOf(payload);
    else if (type === frames.DATA) this.onData(stream, payload);
    if (end && type !== frames.RESET) stream.ended = true;
  }

  private onData(stream: ClientStream, bytes: Uint8Array): void {
    stream.body += new TextDecoder().decode(bytes);
    stream.bytes += bytes.length;
    if (!this.slow.has(stream.id) && bytes.length > 0)
      this.frame(frames.CREDIT, false, stream.id, frames.credit(bytes.length));
  }

  /** Resolves once the condition holds; it is looked at after every event. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ until: condition, resolve }));
  }

  private check(): void {
    const ready = this.waiters.filter((one) => one.until());
    this.waiters = this.waiters.filter((one) => !ready.includes(one));
    for (const one of ready) one.resolve();
  }
}
