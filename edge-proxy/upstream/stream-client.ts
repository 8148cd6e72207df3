/** What a pool asks of those that want a stream to an upstream. */
import type { ResetReason, ResponseSink, StreamReset, UpstreamStream } from '../http/message/stream.ts';

/** Hears `onStream`, and then the response; or `onReset` alone where there is no stream. */
export interface StreamClient extends ResponseSink {
  /** Send the request now, or later. Called while `open` runs where a connection was there. */
  onStream(stream: UpstreamStream): void;
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
