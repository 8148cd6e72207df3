/**
 * Streams that ended by RST_STREAM lately. Frames that the peer sent before it knew of the reset are ignored; a frame behind
 * its own reset is an error of the stream, and one behind END_STREAM an error of the connection (RFC 9113 section 5.1).
 */

/** As many are remembered. */
const MOST = 128;

export class RecentResets {
  private readonly ids = new Int32Array(MOST);
  private next = 0;
  /** Highest stream that was remembered and is not any more: what became of those below is unknown. */
  private forgotten = 0;

  /** @param byPeer the peer sent RST_STREAM */
  add(stream: number, byPeer: boolean): void {
    const { ids, next } = this;
    this.forgotten = Math.max(this.forgotten, Math.abs(ids[next]!));
    ids[next] = byPeer ? -stream : stream;
    this.next = (next + 1) % MOST;
  }

  /** How a stream that is over ended. `unknown`: too long ago */
  endOf(stream: number): 'reset by us' | 'reset by peer' | 'ended' | 'unknown' {
    if (this.ids.includes(stream)) return 'reset by us';
    if (this.ids.includes(-stream)) return 'reset by peer';
    return stream <= this.forgotten ? 'unknown' : 'ended';
  }
}
