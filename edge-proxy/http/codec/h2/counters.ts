/** What HTTP/2 connections count, by Envoy's names (`http2.…`). */

export const HTTP2_COUNTERS = [
  'goaway_sent',
  'header_overflow',
  'inbound_empty_frames_flood',
  'inbound_priority_frames_flood',
  'inbound_window_update_frames_flood',
  'keepalive_timeout',
  'outbound_control_flood',
  'outbound_flood',
  'rx_messaging_error',
  'rx_reset',
  'stream_refused_errors',
  'trailers',
  'tx_flush_timeout',
  'tx_reset',
  // Tulle's own: Envoy leaves these two to its HTTP library, and counts the third elsewhere.
  'inbound_continuation_frames_flood',
  'settings_timeout',
  'early_ends_flood',
] as const;

export type Http2CounterName = (typeof HTTP2_COUNTERS)[number];

/** A counter; telemetry's Stat is one. */
export interface Counter {
  value: number;
}

export type Http2Counters = Readonly<Record<Http2CounterName, Counter>>;

/** Counts that are read nowhere. */
export function uncounted(): Http2Counters {
  return Object.fromEntries(HTTP2_COUNTERS.map((name) => [name, { value: 0 }])) as Record<Http2CounterName, Counter>;
}
