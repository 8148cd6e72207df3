/** What a pool asks of those that want a stream to an upstream. */

import type { HttpVersion } from '../http/message/message.ts';
import type { ResetReason, ResponseSink, StreamReset, UpstreamStream } from '../http/message/stream.ts';
import type { Cluster, Endpoint } from './cluster.ts';

/** Hears `onStream`, and then the response; or `onReset` alone where there is no stream. */
export interface StreamClient extends ResponseSink {
  /** Send the request now, or later. Called while `open` runs where a connection was there. */
  onStream(stream: UpstreamStream): void;
}

/**
 * `raw`: the bytes of a CONNECT that ends here, on a connection of their own. Else the version of the request as it came,
 * which a cluster may follow.
 */
export type StreamKind = HttpVersion | 'raw';

/** Where the streams of attempts come from. */
export interface StreamSource {
  /**
   * Opens a stream. `client.onStream` or `client.onReset` follows, possibly before this returns.
   * @returns a place in the queue, or undefined when it is already settled
   */
  open(cluster: Cluster, endpoint: Endpoint, client: StreamClient, kind: StreamKind): Lease | undefined;
}

/** A place in the queue for a stream. */
export interface Lease {
  /** Leaves the queue; without effect once there is a stream. */
  cancel(): void;
}

/** Why there is no stream: nothing was sent. */
export function refusal(reason: ResetReason, detail: string): StreamReset {
  return { reason, detail, sent: 'nothing', reusedConnection: false };
}
