/** A connection of a pool: how many streams it carried and how old it is, whatever protocol it speaks. */
import type { UpstreamConnection, UpstreamConnectionOwner, UpstreamProtocol } from '../http/codec/codecs.ts';
import type { UpstreamHttp2Stats } from '../http/codec/h2/upstream-stats.ts';
import type { UpstreamStream } from '../http/message/stream.ts';
import type { Connection } from '../runtime/runtime.ts';
import type { StreamClient } from './stream-client.ts';

/** The pool as its connections see it. */
export interface ConnectionPool {
  /** Where the connections of its cluster are counted. */
  readonly http2?: UpstreamHttp2Stats | undefined;
  onCapacity(connection: PooledConnection): void;
  onClosed(connection: PooledConnection): void;
  /** It takes no further stream. */
  setUnavailable(connection: PooledConnection): void;
}

export class PooledConnection implements UpstreamConnectionOwner {
  private readonly pool: ConnectionPool;
  private readonly connection: UpstreamConnection;
  readonly http2: UpstreamHttp2Stats | undefined;
  /** Monotonic milliseconds at which it was there. */
  readonly openedAt: number;
  /** Monotonic milliseconds at which its last stream ended. */
  idleSince = 0;
  /** Streams opened on it. */
  served = 0;
  /** It has been able to carry streams: until then it counts as a dial. */
  settled = false;
  /** Listed by the pool as one that takes another stream. */
  available = false;

  constructor(pool: ConnectionPool, connection: Connection, protocol: UpstreamProtocol, openedAt: number) {
    this.pool = pool;
    this.http2 = pool.http2;
    this.openedAt = openedAt;
    this.connection = protocol.connect(connection, this);
  }

  /** Streams that it carries at once. */
  get maxStreams(): number {
    return this.connection.maxStreams;
  }

  /** Streams that may be opened now. */
  get free(): number {
    return this.connection.maxStreams - this.connection.streams;
  }

  get idle(): boolean {
    return this.connection.streams === 0;
  }

  open(client: StreamClient): UpstreamStream {
    this.served++;
    return this.connection.open(client);
  }

  /** Takes no further stream, and closes when the last has ended. */
  drain(): void {
    this.pool.setUnavailable(this);
    this.connection.drain();
  }

  onCapacity(): void {
    this.pool.onCapacity(this);
  }

  onClosed(): void {
    this.pool.onClosed(this);
  }
}
