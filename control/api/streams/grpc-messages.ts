/** Messages of a gRPC call: each with a flag and its length before it (github.com/grpc/grpc: doc/PROTOCOL-HTTP2.md). */
import { type Parts, sizeOf } from '../../envoy-api/wire.ts';
import { GRPC, GrpcError } from './grpc-status.ts';

export interface MessageLimits {
  readonly bytes: number;
  /** From the first byte of a message to its last, milliseconds. */
  readonly timeoutMs: number;
  /** Reserves memory for a message. @returns gives it back */
  readonly reserve: (bytes: number) => Promise<() => void>;
}

const HEAD = 5;

/**
 * The messages of a request's body. The memory of one is given back when the next is asked for.
 * @throws GrpcError for one that is too long, too slow, compressed or cut off
 */
export async function* grpcMessages(
  body: ReadableStream<Uint8Array>,
  limits: MessageLimits,
): AsyncGenerator<Uint8Array> {
  const reader = new Reader(body.getReader());
  try {
    for (;;) {
      const head = await reader.read(HEAD, undefined);
      if (!head) return;
      const length = lengthIn(head, limits.bytes);
      const release = await limits.reserve(length);
      try {
        const message = await reader.read(length, limits.timeoutMs);
        if (!message) throw cutOff();
        yield message;
      } finally {
        release();
      }
    }
  } finally {
    reader.cancel();
  }
}

function lengthIn(head: Uint8Array, most: number): number {
  const view = new DataView(head.buffer, head.byteOffset, HEAD);
  if (view.getUint8(0) !== 0)
    throw new GrpcError(GRPC.UNIMPLEMENTED, 'compressed messages are not supported: send them with identity encoding');
  const length = view.getUint32(1);
  if (length > most) throw new GrpcError(GRPC.RESOURCE_EXHAUSTED, `a message must not be longer than ${most} bytes`);
  return length;
}

const cutOff = () => new GrpcError(GRPC.INVALID_ARGUMENT, 'the request ended amid a message');

class Reader {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private chunks: Uint8Array[] = [];
  private size = 0;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.reader = reader;
  }

  /** @returns undefined where the body ends before the first byte @throws GrpcError where it ends later, or is too slow */
  async read(bytes: number, timeoutMs: number | undefined): Promise<Uint8Array | undefined> {
    let late = false;
    const timer =
      timeoutMs !== undefined &&
      setTimeout(() => {
        late = true;
        this.cancel();
      }, timeoutMs);
    try {
      while (this.size < bytes) {
        const { done, value } = await this.reader.read();
        if (late) throw new GrpcError(GRPC.DEADLINE_EXCEEDED, `a message did not arrive within ${timeoutMs} ms`);
        if (done && this.size > 0) throw cutOff();
        if (done) return undefined;
        this.chunks.push(value);
        this.size += value.length;
      }
      return this.cut(bytes);
    } finally {
      if (timer) clearTimeout(timer);
    }
  }

  cancel(): void {
    void this.reader.cancel().catch(() => {});
  }

  private cut(bytes: number): Uint8Array {
    const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    const rest = all.subarray(bytes);
    this.chunks = rest.length > 0 ? [rest] : [];
    this.size = rest.length;
    return all.subarray(0, bytes);
  }
}

const PIECE = 64 * 1024;

/** A message as it is sent, in pieces for the connection. */
export function* framed(message: Parts): Generator<Uint8Array> {
  const head = new Uint8Array(HEAD);
  new DataView(head.buffer).setUint32(1, sizeOf(message));
  let gathered: Uint8Array[] = [head];
  let size = HEAD;
  for (const part of message) {
    gathered.push(part);
    size += part.length;
    if (size < PIECE) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(gathered);
}
