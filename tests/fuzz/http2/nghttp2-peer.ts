/** A server of node:http2 (nghttp2), and a client of the proxy's HPACK on a connection to it. */
import http2 from 'node:http2';
import net from 'node:net';
import { concat } from '../../../edge-proxy/http/codec/bytes.ts';
import { FrameReader, type FrameSink } from '../../../edge-proxy/http/codec/h2/connection/frame-reader.ts';
import type { Field } from '../../../edge-proxy/http/codec/h2/fields.ts';
import {
  CLIENT_PREFACE,
  FLAG,
  FRAME,
  frame,
  headersFrames,
  SETTING,
  settingsFrame,
} from '../../../edge-proxy/http/codec/h2/frames.ts';
import { HpackDecoder, HpackEncoder } from '../../../edge-proxy/http/codec/h2/hpack.ts';
import { decodeBlock, encodeBlock } from '../../../edge-proxy/http/testing/header-blocks.ts';

/** Of the connection itself, which closes. */
export interface Closed {
  /** Of GOAWAY; undefined: there was none. */
  readonly code: number | undefined;
}

export class EchoServer {
  private readonly server = http2.createServer({ maxHeaderListPairs: 1000 });
  private readonly received = new Map<string, Field[]>();

  /** It answers each request with the regular fields of it. */
  static async start(): Promise<EchoServer> {
    const echo = new EchoServer();
    echo.server.on('session', (session) => session.on('error', () => undefined));
    echo.server.on('stream', (stream, _headers, _flags, raw: string[]) => {
      stream.on('error', () => undefined);
      const fields = pairs(raw);
      echo.received.set(`${stream.session!.socket.remotePort} ${stream.id}`, fields);
      const answer = [':status', '200', ...fields.filter(([name]) => !name.startsWith(':')).flat()];
      // A raw list keeps the order.
      try {
        stream.respond(answer as unknown as http2.OutgoingHttpHeaders, { endStream: true });
      } catch {
        // node:http2 refuses to send some fields that it receives.
        stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      }
    });
    await new Promise<void>((done) => echo.server.listen(0, '127.0.0.1', done));
    return echo;
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  /** What the server decoded of a request; once. */
  take(localPort: number, stream: number): Field[] | undefined {
    const key = `${localPort} ${stream}`;
    const fields = this.received.get(key);
    this.received.delete(key);
    return fields;
  }

  stop(): Promise<void> {
    return new Promise((done) => void this.server.close(() => done()));
  }
}

function pairs(raw: readonly string[]): Field[] {
  return raw.flatMap((name, i): Field[] => (i % 2 === 0 ? [[name, raw[i + 1]!]] : []));
}

export class HpackClient implements FrameSink {
  private readonly socket: net.Socket;
  private readonly encoder = new HpackEncoder(16_384);
  private readonly decoder: HpackDecoder;
  private readonly reader: FrameReader;
  private stream = -1;
  private goaway: number | undefined;
  private waiting: ((outcome: Field[] | Closed) => void) | undefined;
  private over = false;

  /** @param tableSize SETTINGS_HEADER_TABLE_SIZE for the server's encoder */
  static async connect(port: number, tableSize: number): Promise<HpackClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise((done) => socket.once('connect', done));
    return new HpackClient(socket, tableSize);
  }

  private constructor(socket: net.Socket, tableSize: number) {
    this.socket = socket;
    this.decoder = new HpackDecoder({ headerTableSize: tableSize, maxHeadBytes: 1 << 20, maxFields: 1000 });
    this.reader = new FrameReader(this, { blockBytes: 1 << 20, continuations: 100, emptyFrames: 100 }, false);
    socket.on('data', (bytes) => this.reader.push(new Uint8Array(bytes)));
    socket.on('error', () => undefined);
    socket.on('close', () => this.close());
    socket.write(concat(CLIENT_PREFACE, settingsFrame([[SETTING.HEADER_TABLE_SIZE, tableSize]])));
  }

  get localPort(): number {
    return this.socket.localPort!;
  }

  get lastStream(): number {
    return this.stream;
  }

  /** The fields of the response; or the connection has closed. */
  exchange(fields: readonly Field[]): Promise<Field[] | Closed> {
    return this.send(encodeBlock(this.encoder, fields));
  }

  /** As `exchange`, of a block as it is; an empty list where the stream alone was reset. */
  send(block: Uint8Array): Promise<Field[] | Closed> {
    this.stream += 2;
    return new Promise((done) => {
      if (this.over) {
        done({ code: this.goaway });
        return;
      }
      this.waiting = done;
      this.socket.write(headersFrames(this.stream, block, true, 16_384).reduce(concat));
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  private settle(outcome: Field[] | Closed): void {
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.(outcome);
  }

  private close(): void {
    this.over = true;
    this.settle({ code: this.goaway });
  }

  onHeaders(_stream: number, bytes: Uint8Array, start: number, end: number): void {
    this.settle(decodeBlock(this.decoder, bytes.slice(start, end)));
  }

  onReset(stream: number): void {
    if (stream === this.stream) this.settle([]);
  }

  onSetting(id: number, value: number): void {
    if (id === SETTING.HEADER_TABLE_SIZE) this.encoder.limitTable(value);
  }

  onSettings(): void {
    this.socket.write(frame(FRAME.SETTINGS, FLAG.ACK, 0));
  }

  onSettingsAck(): void {
    this.decoder.onSettingsAck();
  }

  onGoaway(_last: number, code: number): void {
    this.goaway = code;
    this.socket.destroy();
  }

  onDataFrame(): void {}
  onDataPart(): void {}
  onPriority(): void {}
  onPing(): void {}
  onWindowUpdate(): void {}
}
