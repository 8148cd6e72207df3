/** Bulk through a proxy, each kind of byte stream both ways: writers that never tire, readers that are slow. */
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import type { Leaf } from '../mtls/certificates.ts';

export const MB = 1024 * 1024;

/** How the bytes travel. `mtls` is a request with a length, with TLS on both hops. */
export const KINDS = ['length', 'chunked', 'mtls', 'upgrade', 'tcp'] as const;
export type Kind = (typeof KINDS)[number];
export type Way = 'down' | 'up';

/** A reader rests after each of these, so that its writer is held back repeatedly. */
const REST_EVERY = 2 * MB;
const REST_MS = 2;

/** Its length shares no factor with the sizes of buffers: bytes out of place do not go unseen. */
const payload = randomBytes(128 * 1024 - 1);
const twice = Buffer.concat([payload, payload]);
/** One request a connection: what follows is another transfer's. */
const ANSWER = 'HTTP/1.1 200 OK\r\nconnection: close\r\n';
const LAST_CHUNK = '0\r\n\r\n';
const frame = (bytes: Buffer) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
const framed = frame(payload);

/** Writes `size` bytes as fast as they are taken. */
export class Source {
  sent = 0;
  private readonly socket: net.Socket;
  private readonly size: number;
  private readonly chunked: boolean;

  constructor(socket: net.Socket, size: number, chunked: boolean) {
    this.socket = socket;
    this.size = size;
    this.chunked = chunked;
    this.run();
  }

  private run(): void {
    while (this.sent < this.size) {
      const rest = this.size - this.sent;
      this.sent += Math.min(rest, payload.length);
      if (this.socket.write(this.piece(rest))) continue;
      this.socket.once('drain', () => this.run());
      return;
    }
    if (this.chunked) this.socket.write(LAST_CHUNK);
  }

  private piece(rest: number): Buffer {
    if (rest >= payload.length) return this.chunked ? framed : payload;
    const bytes = payload.subarray(0, rest);
    return this.chunked ? frame(bytes) : bytes;
  }
}

/** Takes nothing until `go`, then reads with rests; knows when all has come, and whether it is what was sent. */
export class Reader {
  received = 0;
  whole = false;
  /** The first place at which something else came. */
  wrongAt: number | undefined;
  private readonly socket: net.Socket;
  private readonly size: number;
  private readonly done: () => void;
  private readonly chunks: Unchunked | undefined;
  private rested = 0;

  constructor(socket: net.Socket, size: number, chunked: boolean, first: Buffer, done: () => void) {
    this.socket = socket;
    this.size = size;
    this.done = done;
    this.chunks = chunked ? new Unchunked((bytes) => this.compare(bytes)) : undefined;
    socket.pause();
    socket.on('data', (bytes) => this.take(bytes));
    if (first.length > 0) this.take(first);
  }

  go(): void {
    this.socket.resume();
  }

  private take(bytes: Buffer): void {
    if (this.chunks) this.chunks.take(bytes);
    else this.compare(bytes);
    if (!this.whole && this.received >= this.size && this.chunks?.ended !== false) {
      this.whole = true;
      this.done();
    }
    if (this.received - this.rested < REST_EVERY) return;
    this.rested = this.received;
    this.socket.pause();
    setTimeout(() => this.socket.resume(), REST_MS);
  }

  private compare(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const from = this.received % payload.length;
      const length = Math.min(bytes.length - at, payload.length);
      if (bytes.compare(twice, from, from + length, at, at + length) !== 0) this.wrongAt ??= this.received;
      this.received += length;
      at += length;
    }
  }
}

/** The data of chunks (RFC 9112 section 7.1), whatever their sizes. */
class Unchunked {
  ended = false;
  private readonly data: (bytes: Buffer) => void;
  /** Of the line between two chunks. */
  private line = '';
  private left = 0;

  constructor(data: (bytes: Buffer) => void) {
    this.data = data;
  }

  take(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.left === 0) {
        this.line += String.fromCharCode(bytes[at++]!);
        this.endLine();
        continue;
      }
      const end = Math.min(bytes.length, at + this.left);
      this.left -= end - at;
      this.data(bytes.subarray(at, end));
      at = end;
    }
  }

  private endLine(): void {
    const size = /^(?:\r\n)?([0-9a-f]+)\r\n$/.exec(this.line)?.[1];
    if (size === undefined) return;
    this.left = Number.parseInt(size, 16);
    this.line = '';
    if (this.left === 0) this.ended = true;
  }
}

/** One transfer under way: who writes, who reads. */
export interface Transfer {
  source: Source | undefined;
  reader: Reader | undefined;
}

/** Calls back with the head and what came behind it. */
function afterHead(socket: net.Socket, then: (head: string, rest: Buffer) => void): void {
  let seen = Buffer.alloc(0);
  const take = (bytes: Buffer) => {
    seen = Buffer.concat([seen, bytes]);
    const end = seen.indexOf('\r\n\r\n');
    if (end < 0) return;
    socket.off('data', take);
    socket.pause();
    then(seen.toString('latin1', 0, end), seen.subarray(end + 4));
  };
  socket.on('data', take);
}

/** The application behind the proxy: the request's target says what to do, or in a stream's first line. */
export class BulkApp {
  current: Transfer = { source: undefined, reader: undefined };
  readonly plain: net.Server;
  readonly secure: tls.Server;
  private readonly sockets = new Set<net.Socket>();

  constructor(certificate: Leaf, roots: string) {
    const serve = (socket: net.Socket) => this.serve(socket);
    this.plain = net.createServer({ allowHalfOpen: true }, serve);
    const { cert, key } = certificate;
    this.secure = tls.createServer({ cert, key, ca: roots, requestCert: true, ALPNProtocols: ['istio'] }, serve);
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.plain.close();
    this.secure.close();
  }

  private serve(socket: net.Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    afterHead(socket, (head, rest) => {
      const [, kind, way, megabytes] = /^\w+ \/(\w+)\/(\w+)\/(\d+) /.exec(head)!;
      const size = Number(megabytes) * MB;
      const tunnel = kind === 'upgrade' || kind === 'tcp';
      const chunked = kind === 'chunked';
      if (kind === 'upgrade') socket.write('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: bulk\r\n\r\n');
      if (way === 'up') {
        const answered = () => socket.write(tunnel ? 'taken' : `${ANSWER}content-length: 5\r\n\r\ntaken`);
        this.current.reader = new Reader(socket, size, chunked, rest, answered);
        return;
      }
      if (!tunnel)
        socket.write(`${ANSWER}${chunked ? 'transfer-encoding: chunked' : `content-length: ${size}`}\r\n\r\n`);
      this.current.source = new Source(socket, size, chunked);
      socket.resume();
    });
  }
}

/**
 * Asks for a transfer through the proxy and begins it; the reader waits for its `go`.
 * @returns when all was received; rejects when the connection fails
 */
export function ask(app: BulkApp, socket: net.Socket, kind: Kind, way: Way, megabytes: number): Promise<string> {
  app.current = { source: undefined, reader: undefined };
  const { current } = app;
  const size = megabytes * MB;
  const chunked = kind === 'chunked';
  const upload = chunked ? 'transfer-encoding: chunked\r\n' : `content-length: ${size}\r\n`;
  const upgrade = kind === 'upgrade' ? 'connection: upgrade\r\nupgrade: bulk\r\n' : '';
  const body = way === 'up' && kind !== 'upgrade' && kind !== 'tcp' ? upload : '';
  const target = `/${kind === 'mtls' ? 'length' : kind}/${way}/${megabytes}`;
  socket.write(`${body ? 'POST' : 'GET'} ${target} HTTP/1.1\r\nhost: bulk\r\n${upgrade}${body}\r\n`);
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the proxy closed the connection')));
    const start = (_head: string, rest: Buffer) => {
      if (way === 'down') current.reader = new Reader(socket, size, chunked, rest, () => resolve('received'));
      else {
        current.source = new Source(socket, size, chunked);
        socket.on('data', (bytes) => {
          if (String(bytes).includes('taken')) resolve('taken');
        });
        socket.resume();
      }
    };
    // Only a tunnel or a download answers before the bytes are there.
    if (kind === 'tcp' || (way === 'up' && kind !== 'upgrade')) start('', Buffer.alloc(0));
    else afterHead(socket, start);
  });
}
