/** Reads gRPC messages out of a stream of bytes (github.com/grpc/grpc: "gRPC over HTTP2", Length-Prefixed-Message). */
import { MESSAGE_HEAD } from './message-counter.ts';

/** What is read is no sequence of messages, or one is longer than it may be. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
  readonly tooLong: boolean;

  constructor(message: string, tooLong: boolean) {
    super(message);
    this.tooLong = tooLong;
  }
}

/** A message with its head: not compressed. */
export function framedMessage(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(MESSAGE_HEAD + message.length);
  new DataView(out.buffer).setUint32(1, message.length);
  out.set(message, MESSAGE_HEAD);
  return out;
}

export class MessageReader {
  private readonly maxBytes: number;
  private readonly head: Uint8Array = new Uint8Array(MESSAGE_HEAD);
  private headBytes = 0;
  private message: Uint8Array | undefined;
  private filled = 0;

  /** @param maxBytes of one message */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Between two messages: a stream may end here. */
  get atBoundary(): boolean {
    return this.headBytes === 0 && this.message === undefined;
  }

  /**
   * @param bytes valid during the call alone
   * @param onMessage is given each message once it is whole, as bytes of its own
   * @throws MessageError
   */
  take(bytes: Uint8Array, onMessage: (message: Uint8Array) => void): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.message === undefined) {
        this.head[this.headBytes++] = bytes[at++]!;
        if (this.headBytes < MESSAGE_HEAD) continue;
        this.begin();
      } else {
        const part = bytes.subarray(at, at + this.message.length - this.filled);
        this.message.set(part, this.filled);
        this.filled += part.length;
        at += part.length;
      }
      this.finish(onMessage);
    }
  }

  private begin(): void {
    this.headBytes = 0;
    // Compression was not offered (grpc-accept-encoding).
    if (this.head[0] !== 0) throw new MessageError('a message is compressed', false);
    const length = new DataView(this.head.buffer).getUint32(1);
    if (length > this.maxBytes) throw new MessageError(`a message is longer than ${this.maxBytes} bytes`, true);
    this.message = new Uint8Array(length);
    this.filled = 0;
  }

  private finish(onMessage: (message: Uint8Array) => void): void {
    const { message } = this;
    if (message === undefined || this.filled < message.length) return;
    this.message = undefined;
    onMessage(message);
  }
}
