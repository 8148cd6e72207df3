/** Tracing providers as Envoy's tracers (configureFromProviderConfig of Istio). */
import type { ExtensionProvider } from '../../../shared/resources/mesh-config/mesh-config-providers.ts';
import type { Tracer } from '../../../shared/xds/telemetry/tracing.ts';
import { protoDuration } from '../durations.ts';
import { type ClusterLookup, providerType } from './providers.ts';

export interface CompiledTracer {
  readonly typed: Tracer;
  readonly maxTagLength: number | undefined;
  /** Attempts have spans of their own. */
  readonly startsChildSpan: boolean;
}

const NOT_HERE = 'is no provider of traces that proxies know (zipkin, opentelemetry)';

/** A string says why the provider traces nothing. */
export function tracerOf(provider: ExtensionProvider, clusterOf: ClusterLookup): CompiledTracer | string {
  const { zipkin, opentelemetry } = provider;
  if (zipkin) return zipkinTracer(zipkin, clusterOf);
  if (opentelemetry) return openTelemetryTracer(opentelemetry, clusterOf);
  return `${providerType(provider) ?? 'it'} ${NOT_HERE}`;
}

/** What of a tracer that is compiled has no effect yet; undefined: it is none. */
export function missingTracer({ zipkin, opentelemetry }: ExtensionProvider): string | undefined {
  if (!zipkin && !opentelemetry) return undefined;
  return 'proxies send no spans yet: requests are sampled and trace headers are sent on, and nothing is reported';
}

const TYPE = 'type.googleapis.com/envoy.config.trace.v3';

function zipkinTracer(
  zipkin: NonNullable<ExtensionProvider['zipkin']>,
  clusterOf: ClusterLookup,
): CompiledTracer | string {
  const at = clusterOf(zipkin.service, zipkin.port);
  if (typeof at === 'string') return at;
  const { host, cluster } = at;
  const path = zipkin.path || '/api/v2/spans';
  return {
    typed: {
      name: 'envoy.tracers.zipkin',
      typedConfig: {
        '@type': `${TYPE}.ZipkinConfig`,
        collectorEndpointVersion: 'HTTP_JSON',
        ...(zipkin.enable64bitTraceId !== true && { traceId128bit: true }),
        sharedSpanContext: false,
        collectorService: {
          httpUri: { uri: `http://${host}${path}`, cluster, timeout: protoDuration(zipkin.timeout) ?? '5s' },
          ...requestHeaders(zipkin.headers),
        },
        ...(zipkin.traceContextOption === 'USE_B3_WITH_W3C_PROPAGATION' && {
          traceContextOption: 'USE_B3_WITH_W3C_PROPAGATION' as const,
        }),
      },
    },
    maxTagLength: zipkin.maxTagLength,
    startsChildSpan: false,
  };
}

function openTelemetryTracer(
  otel: NonNullable<ExtensionProvider['opentelemetry']>,
  clusterOf: ClusterLookup,
): CompiledTracer | string {
  const at = clusterOf(otel.service, otel.port);
  if (typeof at === 'string') return at;
  const { host, cluster } = at;
  const { http, grpc } = otel;
  const timeout = protoDuration(http?.timeout);
  const service = http
    ? {
        httpService: {
          httpUri: { uri: joined(host, http.path), cluster, ...(timeout !== undefined && { timeout }) },
          ...requestHeaders(http.headers),
        },
      }
    : { grpcService: { envoyGrpc: { clusterName: cluster, authority: host }, ...grpcOptions(grpc) } };
  return {
    typed: {
      name: 'envoy.tracers.opentelemetry',
      typedConfig: { '@type': `${TYPE}.OpenTelemetryConfig`, ...service },
    },
    maxTagLength: otel.maxTagLength,
    startsChildSpan: false,
  };
}

/** `otel.ns` and `/v1/traces`, as paths of URLs are joined. */
const joined = (host: string, path = ''): string => (path === '' ? host : `${host}/${path.replace(/^\/+/, '')}`);

type Headers = NonNullable<ExtensionProvider['zipkin']>['headers'];

/** A value of the environment of the control plane (`envName`) is not put into what proxies are sent. */
const written = (headers: Headers = []) =>
  headers.flatMap(({ name, value }) => (name && value !== undefined ? [{ key: name, value }] : []));

function requestHeaders(headers: Headers) {
  const given = written(headers);
  if (given.length === 0) return {};
  return {
    requestHeadersToAdd: given.map((header) => ({ header, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' as const })),
  };
}

function grpcOptions(grpc: NonNullable<ExtensionProvider['opentelemetry']>['grpc']) {
  const timeout = protoDuration(grpc?.timeout);
  const initialMetadata = written(grpc?.initialMetadata);
  return { ...(timeout !== undefined && { timeout }), ...(initialMetadata.length > 0 && { initialMetadata }) };
}
