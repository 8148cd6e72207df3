/**
 * HTTP/2 on TLS connections whose peer has been verified (RFC 9113). Requests are handed on as those of HTTP/1.1 are. nghttp2 ends
 * connections that flood it with settings, pings or CONTINUATION frames; what it does not bound is bounded here.
 */
import type { IncomingMessage, Server } from 'node:http';
import { createServer, type Http2ServerRequest, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** Streams of one connection at a time; as kube-apiserver has it. A client with more requests opens another connection. */
const MAX_STREAMS = 250;

const LIMITS = {
  settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: 16 * 1024 },
  maxHeaderListPairs: 128,
  maxSessionInvalidFrames: 32,
  maxSessionRejectedStreams: 64,
  maxOutstandingPings: 4,
  maxSettings: 16,
  /** Megabytes: frames that wait to be sent, header tables and stream states. */
  maxSessionMemory: 16,
};

/** Requests of one connection that the client may reset: so many at once, and so many each second (CVE-2023-44487). */
const RESETS = { burst: 500, perSecond: 50 };

export interface Http2Timeouts {
  /** Until the first request of a connection. */
  readonly headMs: number;
  /** How often connections are looked at. */
  readonly checkMs: number;
  /** A connection without a request is closed after this time. */
  readonly idleMs?: number;
  /** A peer from which nothing is known for so long is sent a PING, and is gone when it does not answer it within `pongMs`. */
  readonly pingMs?: number;
  readonly pongMs?: number;
  /** Default: UNREAD_MS. */
  readonly unreadMs?: number;
}

const IDLE_MS = 120_000;
const PING_MS = 30_000;
const PONG_MS = 20_000;
/** Error code CANCEL (RFC 9113 section 7). */
const HTTP2_CANCEL = 8;
/** For a client to end its part of a stream after the server has ended its own. */
const LINGER_MS = 5000;
/** An answer of which the client takes nothing for so long is given up. */
const UNREAD_MS = 60_000;
/** For GOAWAY to leave before the connections are closed. */
const GOAWAY_MS = 20;

interface Connection {
  readonly socket: Socket;
  /** Requests that are not answered yet. */
  open: number;
  /** Whether there was one. */
  used: boolean;
  /** When the last one ended, and when the peer was last known to be there; milliseconds since the epoch. */
  idleSince: number;
  seenAt: number;
  pingedAt: number | undefined;
  /** Streams with how much is to be sent, and since when it is so much. */
  readonly unread: Map<ServerHttp2Stream, { left: number; since: number }>;
  readonly streams: Set<ServerHttp2Stream>;
  /** Resets that count against the limit, as of a time; milliseconds since the epoch. */
  resets: number;
  resetAt: number;
}

export class Http2Connections {
  private readonly connections = new Map<ServerHttp2Session, Connection>();
  private readonly http2 = createServer(LIMITS);
  private readonly timeouts: Required<Http2Timeouts>;
  private readonly timer: NodeJS.Timeout;
  private taken: Socket | undefined;

  constructor(timeouts: Http2Timeouts) {
    this.timeouts = { idleMs: IDLE_MS, pingMs: PING_MS, pongMs: PONG_MS, unreadMs: UNREAD_MS, ...timeouts };
    this.timer = setInterval(() => this.check(), timeouts.checkMs);
    this.timer.unref();
    this.http2.on('session', (session) => this.add(session));
    this.http2.on('sessionError', (_error: Error, session: ServerHttp2Session) => session.destroy());
    this.http2.on('stream', (stream: ServerHttp2Stream) => this.count(stream));
  }

  /** For listeners of requests: the events of node:http's server. */
  get server(): Server {
    return this.http2 as unknown as Server;
  }

  /** Speaks HTTP/2 on a connection for which ALPN chose it. */
  take(socket: Socket): void {
    this.taken = socket;
    this.http2.emit('connection', socket);
    this.taken = undefined;
  }

  /** The connection of a request: that of its TLS socket, with HTTP/1.1 its own. */
  socketOf(message: IncomingMessage): Socket {
    return this.of(message)?.socket ?? message.socket;
  }

  /** Asks the peer to use another connection for what follows (GOAWAY); open requests are still answered. */
  retire(message: IncomingMessage): void {
    const session = sessionOf(message);
    if (session && !session.closed && !session.destroyed) session.close();
  }

  /** Asks all peers to use other servers. Resolves when that has been sent. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    if (this.connections.size === 0) return;
    for (const session of this.connections.keys()) if (!session.closed && !session.destroyed) session.close();
    await new Promise((resolve) => setTimeout(resolve, GOAWAY_MS));
  }

  private add(session: ServerHttp2Session): void {
    const socket = this.taken;
    if (!socket) throw new Error('a connection of HTTP/2 that was not taken');
    const now = Date.now();
    this.connections.set(session, {
      ...{ socket, open: 0, used: false, idleSince: now, seenAt: now, pingedAt: undefined },
      ...{ resets: 0, resetAt: now, unread: new Map(), streams: new Set() },
    });
    session.on('error', () => session.destroy());
    session.once('close', () => {
      this.connections.delete(session);
      socket.destroy();
    });
  }

  private count(stream: ServerHttp2Stream): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session && this.connections.get(session);
    if (!connection) return;
    connection.open += 1;
    connection.streams.add(stream);
    connection.used = true;
    connection.seenAt = Date.now();
    // The answer is complete, and the client still sends its request: nothing of that is read.
    stream.once('finish', () => setTimeout(() => stream.close(), LINGER_MS).unref());
    stream.once('close', () => {
      connection.open -= 1;
      connection.streams.delete(stream);
      connection.unread.delete(stream);
      connection.idleSince = Date.now();
      if (stream.rstCode !== 0 && isFlood(connection, connection.idleSince)) session?.destroy();
    });
  }

  private of(message: IncomingMessage): Connection | undefined {
    const session = sessionOf(message);
    return session && this.connections.get(session);
  }

  private check(): void {
    const now = Date.now();
    for (const [session, connection] of this.connections) {
      this.checkOne(session, connection, now);
      endUnread(connection, now, this.timeouts.unreadMs);
    }
  }

  private checkOne(session: ServerHttp2Session, connection: Connection, now: number): void {
    const { headMs, idleMs, pingMs, pongMs } = this.timeouts;
    const { open, used, idleSince, seenAt, pingedAt } = connection;
    if (open === 0 && now - idleSince > (used ? idleMs : headMs)) session.destroy();
    else if (pingedAt !== undefined) {
      if (now - pingedAt > pongMs) session.destroy();
    } else if (now - seenAt > pingMs && !session.closed) {
      connection.pingedAt = now;
      session.ping((error) => {
        if (error) return;
        connection.pingedAt = undefined;
        connection.seenAt = Date.now();
      });
    }
  }
}

/** Closes streams whose client takes nothing of what is to be sent: it is held here. */
function endUnread({ streams, unread }: Connection, now: number, unreadMs: number): void {
  for (const stream of streams) {
    const left = stream.writableLength;
    if (left === 0 && (!stream.writableEnded || stream.writableFinished)) {
      unread.delete(stream);
      continue;
    }
    const known = unread.get(stream);
    if (known?.left !== left) unread.set(stream, { left, since: now });
    else if (now - known.since > unreadMs) stream.close(HTTP2_CANCEL);
  }
}

/** Counts a reset. @returns whether there are too many */
function isFlood(connection: Connection, now: number): boolean {
  const passed = ((now - connection.resetAt) / 1000) * RESETS.perSecond;
  connection.resets = Math.max(0, connection.resets - passed) + 1;
  connection.resetAt = now;
  return connection.resets > RESETS.burst;
}

function sessionOf(message: IncomingMessage): ServerHttp2Session | undefined {
  const { stream } = message as unknown as Partial<Http2ServerRequest>;
  return stream?.session as ServerHttp2Session | undefined;
}
