/** WebSocket frames by hand (RFC 6455 section 5): what a browser's API cannot send. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { until } from '../kit/waiting.ts';

export interface Frame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}
export const CONTINUATION = 0;
export const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** A masked frame, as clients send them. */
export function frame(opcode: number, payload: Buffer | string, fin = true): Buffer {
  const data = Buffer.from(payload);
  const mask = randomBytes(4);
  const size = data.length;
  const head = size < 126 ? Buffer.alloc(2) : size < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = 0x80 | (size < 126 ? size : size < 65536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(size, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
  const masked = data.map((byte, i) => byte ^ mask[i % 4]!);
  return Buffer.concat([head, mask, masked]);
}

/** A connection after its handshake. */
export class FrameClient {
  readonly frames: Frame[] = [];
  ended = false;
  private readonly socket: Socket;
  private rest = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.read(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.ended = true));
  }

  /** @throws with the answer where it is no 101 */
  static async open(port: number, path: string): Promise<FrameClient> {
    const socket = connect(port, '127.0.0.1');
    const key = randomBytes(16).toString('base64');
    const lines = [`GET ${path} HTTP/1.1`, 'Host: ws.test', 'Connection: Upgrade', 'Upgrade: websocket'];
    socket.write(`${[...lines, 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`].join('\r\n')}\r\n\r\n`);
    let head = Buffer.alloc(0);
    const onData = (bytes: Buffer) => (head = Buffer.concat([head, bytes]));
    socket.on('data', onData);
    await until('the handshake is answered', () => head.includes('\r\n\r\n'));
    socket.off('data', onData);
    const end = head.indexOf('\r\n\r\n') + 4;
    if (!head.toString('latin1').startsWith('HTTP/1.1 101 ')) throw new Error(head.toString('latin1'));
    const client = new FrameClient(socket);
    client.read(head.subarray(end));
    return client;
  }

  send(...frames: Buffer[]): void {
    for (const one of frames) this.socket.write(one);
  }

  /** The next frame that is not taken yet. */
  async next(): Promise<Frame> {
    await until('a frame comes', () => this.frames.length > 0 || this.ended);
    const found = this.frames.shift();
    if (!found) throw new Error('the connection ended');
    return found;
  }

  destroy(): void {
    this.socket.destroy();
  }

  private read(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes]);
    for (;;) {
      const { rest } = this;
      if (rest.length < 2) return;
      const short = rest[1]! & 0x7f;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (rest.length < head) return;
      const size = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < head + size) return;
      const payload = Buffer.from(rest.subarray(head, head + size));
      this.frames.push({ fin: (rest[0]! & 0x80) !== 0, opcode: rest[0]! & 0x0f, payload });
      this.rest = rest.subarray(head + size);
    }
  }
}
