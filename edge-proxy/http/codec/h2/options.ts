/** What an HTTP/2 connection is configured with (Envoy's Http2ProtocolOptions). Sizes in bytes, times in milliseconds. */

import type { Http2Counters } from './counters.ts';

export interface Http2KeepAlive {
  /** Time between PING frames; 0: none are sent at intervals. */
  readonly intervalMs: number;
  /** A PING that is not acknowledged in this time closes the connection. */
  readonly timeoutMs: number;
  /** Largest random addition to an interval, in per cent of it. */
  readonly jitterPercent: number;
  /** [0, 1), for the jitter. */
  readonly random: () => number;
  /** A connection on which nothing was read for so long gets a PING before its next stream; 0: never. */
  readonly idleIntervalMs: number;
}

/** What a peer may cost beside its requests. Above a limit the connection ends with ENHANCE_YOUR_CALM, and is counted. */
export interface Http2FloodLimits {
  /** Frames of any kind that wait to be written. */
  readonly outboundFrames: number;
  /** PING, SETTINGS and RST_STREAM frames that wait to be written. */
  readonly outboundControlFrames: number;
  /** Successive frames with an empty payload and no END_STREAM. */
  readonly emptyFrames: number;
  /** PRIORITY frames for each stream that was opened, and one. */
  readonly priorityFramesPerStream: number;
  /** WINDOW_UPDATE frames for each DATA frame sent, see Envoy's formula. */
  readonly windowUpdatesPerDataFrame: number;
  /** CONTINUATION frames of one header block. */
  readonly continuations: number;
  /** Streams that ended early, by the peer's RST_STREAM or by a malformed frame of the peer, in a second. */
  readonly earlyEndsPerSecond: number;
}

export interface Http2Options {
  /** SETTINGS_HEADER_TABLE_SIZE that is announced, and the most that the encoder uses of the peer's. */
  readonly headerTableSize: number;
  /** Downstream: announced. Upstream: the most streams of a connection, whatever the peer allows. */
  readonly maxConcurrentStreams: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: of a stream as it begins. */
  readonly initialWindow: number;
  /** The window of a stream grows up to this size as long as its data is drained at once, see receive-windows.ts. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  /** Largest header list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly maxHeadBytes: number;
  /** Fields of a head or of trailers; each cookie crumb counts. */
  readonly maxFields: number;
  /** Extended CONNECT (RFC 8441) is announced and accepted. */
  readonly allowConnect: boolean;
  /** A malformed message resets its stream; else it ends the connection. */
  readonly resetsStreamOnMalformed: boolean;
  /** How long a message that is otherwise done may wait for the peer's window; 0: without limit (Envoy's stream_flush_timeout). */
  readonly streamFlushMs: number;
  readonly keepAlive: Http2KeepAlive | undefined;
  readonly flood: Http2FloodLimits;
  /** Absent: nothing is counted. */
  readonly counters?: Http2Counters | undefined;
}

/** Envoy's values where its config says nothing; the windows are Envoy's for all but the edge. */
export const defaultHttp2Options: Http2Options = {
  headerTableSize: 4096,
  maxConcurrentStreams: 1024,
  initialWindow: 64 * 1024,
  streamWindow: 16 * 1024 * 1024,
  connectionWindow: 24 * 1024 * 1024,
  maxHeadBytes: 60 * 1024,
  maxFields: 100,
  allowConnect: false,
  resetsStreamOnMalformed: false,
  streamFlushMs: 300_000,
  keepAlive: undefined,
  flood: {
    outboundFrames: 10_000,
    outboundControlFrames: 1000,
    emptyFrames: 1,
    priorityFramesPerStream: 100,
    windowUpdatesPerDataFrame: 10,
    continuations: 32,
    earlyEndsPerSecond: 200,
  },
};
