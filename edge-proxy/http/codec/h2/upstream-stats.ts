/** What the HTTP/2 connections to one upstream cluster count, and what they have under way now (Envoy's `cluster.<name>.http2.…`). */
import { type Http2Counters, uncounted } from './counters.ts';

/** A connection that is open. */
export interface Http2Load {
  /** Open streams. */
  readonly streams: number;
  /** Bytes of bodies that wait for a window, or for the connection to take them. */
  readonly pendingSendBytes: number;
}

export class UpstreamHttp2Stats {
  private made: Http2Counters | undefined = undefined;
  private readonly open = new Set<Http2Load>();

  /** Made with the first connection: most clusters speak no HTTP/2. */
  get counters(): Http2Counters {
    return (this.made ??= uncounted());
  }

  /** There has been no connection. */
  get unused(): boolean {
    return this.made === undefined;
  }

  get streamsActive(): number {
    let sum = 0;
    for (const { streams } of this.open) sum += streams;
    return sum;
  }

  get pendingSendBytes(): number {
    let sum = 0;
    for (const { pendingSendBytes } of this.open) sum += pendingSendBytes;
    return sum;
  }

  onOpen(connection: Http2Load): void {
    this.open.add(connection);
  }

  onClosed(connection: Http2Load): void {
    this.open.delete(connection);
  }
}
