/**
 * In the place of a filter that Tulle's proxies do not have, or not with that configuration: what passes it is refused, since its
 * purpose may have been to refuse. An EnvoyFilter asks for it; Envoys are sent the filter itself.
 */
import type { z } from 'zod';
import { messageRequiring, nonEmpty } from '../message.ts';

export const MISSING_HTTP_TYPE = 'tulle.filters.http.missing.v1.Missing';
export const MISSING_NETWORK_TYPE = 'tulle.filters.network.missing.v1.Missing';

/** Of either type. */
export const Missing = messageRequiring({ filter: nonEmpty(), reason: nonEmpty() }, ['filter', 'reason']);
export type Missing = z.infer<typeof Missing>;

/** Response code details, and connection termination details, of what is refused. */
export const MISSING_DETAILS = 'filter_missing';

/**
 * Filters that decide nothing about a request and change nothing that its receiver sees (statistics, tracing, metadata for these):
 * where a proxy does not have them, they are left out. By the type of their configuration.
 */
export const DECORATIVE: ReadonlySet<string> = new Set([
  'envoy.extensions.filters.http.tap.v3.Tap',
  'envoy.extensions.filters.http.proto_message_logging.v3.ProtoMessageLoggingConfig',
  'envoy.extensions.filters.http.alternate_protocols_cache.v3.FilterConfig',
  'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig',
  'io.istio.http.peer_metadata.Config',
  'envoy.tcp.metadataexchange.config.MetadataExchange',
  'stats.PluginConfig',
]);
