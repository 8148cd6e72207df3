/**
 * Constructors for the wire types that hold an `Any`, whose config is an object of the type named beside it. The golden
 * tests parse all output with the schemas.
 */
import type { z } from 'zod';
import type { ConfigSource } from '../../shared/xds/core.ts';
import type { AccessLog as AccessLogMessage, HttpFilter } from '../../shared/xds/http-connection-manager.ts';
import type { ListenerFilter as ListenerFilterMessage, NetworkFilter } from '../../shared/xds/listener.ts';
import type {
  CertificateValidationContext,
  CommonTlsContext,
  DownstreamTransportSocket,
  SubjectAltNameMatcher as SanMatcherMessage,
  UpstreamTransportSocket,
} from '../../shared/xds/tls.ts';

export type AccessLog = z.infer<typeof AccessLogMessage>;
export type ListenerFilter = z.infer<typeof ListenerFilterMessage>;
export type SanMatcher = z.infer<typeof SanMatcherMessage>;
export type ServerSocket = z.infer<typeof DownstreamTransportSocket>;
export type ClientSocket = z.infer<typeof UpstreamTransportSocket>;

function typed(name: string, type: string, config: object): unknown {
  return { name, typedConfig: { '@type': `type.googleapis.com/${type}`, ...config } };
}

export const networkFilter = (name: string, type: string, config: object) => typed(name, type, config) as NetworkFilter;
export const httpFilter = (name: string, type: string, config: object = {}) => typed(name, type, config) as HttpFilter;
export const listenerFilter = (name: string, type: string) => typed(name, type, {}) as ListenerFilter;
export const accessLog = (name: string, type: string, config: object) => typed(name, type, config) as AccessLog;
export const serverSocket = (name: string, type: string, config: object) => typed(name, type, config) as ServerSocket;
export const clientSocket = (name: string, type: string, config: object) => typed(name, type, config) as ClientSocket;

/** A matcher for one subject alternative name: URIs for SPIFFE ids, DNS names otherwise. */
export function sanMatcher(kind: 'URI' | 'DNS', matcher: { exact?: string; prefix?: string }): SanMatcher {
  return { sanType: kind, matcher };
}
export function exactSan(name: string): SanMatcher {
  return sanMatcher(name.includes('://') ? 'URI' : 'DNS', { exact: name });
}

type Combined = NonNullable<CommonTlsContext['combinedValidationContext']>;
/** Rules from the context, trust anchors from the secret `name`. */
export function combinedContext(rules: CertificateValidationContext, name: string, sdsConfig: ConfigSource): Combined {
  const validationContextSdsSecretConfig = { name, sdsConfig };
  return { defaultValidationContext: rules, validationContextSdsSecretConfig };
}
