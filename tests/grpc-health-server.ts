/** A server of grpc.health.v1 on node:http2 whose behaviour changes at run time, for tests of health checks. */
import http2 from 'node:http2';
import type net from 'node:net';

/** What it does with a check; the first four are the statuses of the protocol. */
export const BEHAVIOURS = [
  'SERVING',
  'NOT_SERVING',
  'UNKNOWN',
  'SERVICE_UNKNOWN',
  'unimplemented',
  'unavailable',
  'ok without message',
  'error after SERVING',
  'no status',
  'no trailers',
  'two messages',
  'compressed',
  'cut message',
  'no protobuf',
  'long message',
  'content-type',
  'http 503',
  'http 503 alone',
  'interim first',
  'split',
  'goaway',
  'goaway with error',
  'reset',
  'refused stream',
  'hang up',
  'silence',
] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

const STATUS = { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;
const framed = (message: Uint8Array, compressed = 0) =>
  Buffer.concat([Buffer.from([compressed, 0, 0, 0, message.length]), message]);
const answer = (status: number) => framed(Buffer.from([8, status]));

const BODIES: Partial<Record<Behaviour, Buffer>> = {
  UNKNOWN: answer(STATUS.UNKNOWN),
  NOT_SERVING: answer(STATUS.NOT_SERVING),
  SERVICE_UNKNOWN: answer(STATUS.SERVICE_UNKNOWN),
  'two messages': Buffer.concat([answer(STATUS.SERVING), answer(STATUS.SERVING)]),
  compressed: framed(Buffer.from([8, 1]), 1),
  'cut message': answer(STATUS.SERVING).subarray(0, 6),
  'no protobuf': framed(Buffer.from([0x0f, 0xff])),
  // Unknown fields of every wire type, and the status last.
  'long message': framed(
    Buffer.from([0x10, 0x96, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 2, 0x61, 0x62, 0x2d, 1, 2, 3, 4, 8, 0x81, 0]),
  ),
};

/** One check as it came. */
export interface Check {
  readonly headers: Readonly<Record<string, unknown>>;
  /** Hexadecimal. */
  readonly body: string;
  readonly alpn: string;
}

export class GrpcHealthServer {
  behaviour: Behaviour = 'SERVING';
  port = 0;
  connections = 0;
  readonly checks: Check[] = [];
  private readonly server: http2.Http2Server;
  private readonly sockets = new Set<net.Socket>();

  constructor(tls?: http2.SecureServerOptions) {
    this.server = tls ? http2.createSecureServer(tls) : http2.createServer();
    this.server.on('session', (session) => {
      this.connections++;
      session.on('error', () => {});
    });
    this.server.on(tls ? 'secureConnection' : 'connection', (socket: net.Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    this.server.on('stream', (stream, headers) => {
      const parts: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        const { alpnProtocol: alpn = '' } = stream.session!;
        this.checks.push({
          headers: Object.fromEntries(Object.entries(headers)),
          body: Buffer.concat(parts).toString('hex'),
          alpn,
        });
        this.respond(stream, headers[':path'] ?? '');
      });
    });
  }

  /**
   * @param address of its own where the server is stopped while it is asked: on a shared one, the next test's server
   * might get its port, and its checks
   * @param port where it listened before; 0: the kernel's choice
   */
  async start(address = '127.0.0.1', port = 0): Promise<this> {
    await new Promise<void>((done) => this.server.listen(port, address, () => done()));
    this.port = (this.server.address() as net.AddressInfo).port;
    return this;
  }

  /** Nothing listens any more, and no connection stays. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((done) => this.server.close(() => done()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private respond(stream: http2.ServerHttp2Stream, path: string): void {
    const { behaviour } = this;
    if (stream.destroyed || behaviour === 'silence') return;
    const session = stream.session!;
    if (behaviour === 'hang up') session.destroy();
    else if (behaviour === 'reset') stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else if (behaviour === 'refused stream') stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    else if (behaviour === 'goaway with error') session.goaway(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else {
      // Waits for what is under way.
      if (behaviour === 'goaway') session.close();
      if (path === '/grpc.health.v1.Health/Check') this.call(stream, behaviour);
      else stream.respond({ ':status': behaviour === 'http 503' ? 503 : 200 }, { endStream: true });
    }
  }

  private call(stream: http2.ServerHttp2Stream, behaviour: Behaviour): void {
    const head = { ':status': 200, 'content-type': 'application/grpc+proto' };
    const alone = (status: number, more: object) => stream.respond({ ':status': status, ...more }, { endStream: true });
    if (behaviour === 'unimplemented') alone(200, { 'content-type': 'application/grpc', 'grpc-status': 12 });
    else if (behaviour === 'ok without message') alone(200, { 'content-type': 'application/grpc', 'grpc-status': 0 });
    else if (behaviour === 'http 503 alone') alone(503, { 'grpc-status': 0 });
    else if (behaviour === 'http 503') {
      stream.respond({ ':status': 503 });
      stream.end('no');
    } else if (behaviour === 'no trailers') {
      stream.respond(head);
      stream.end(answer(STATUS.SERVING));
    } else {
      if (behaviour === 'interim first') stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond(behaviour === 'content-type' ? { ...head, 'content-type': 'text/html' } : head, {
        waitForTrailers: true,
      });
      stream.on('wantTrailers', () => {
        stream.sendTrailers(
          behaviour === 'no status'
            ? { 'x-none': '1' }
            : { 'grpc-status': behaviour === 'unavailable' ? 14 : behaviour === 'error after SERVING' ? 2 : 0 },
        );
      });
      if (behaviour === 'unavailable') stream.end();
      else if (behaviour === 'split') {
        const body = answer(STATUS.SERVING);
        stream.write(body.subarray(0, 3));
        setImmediate(() => stream.end(body.subarray(3)));
      } else stream.end(BODIES[behaviour] ?? answer(STATUS.SERVING));
    }
  }
}
