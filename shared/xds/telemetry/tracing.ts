/** HttpConnectionManager.Tracing, envoy.type.tracing.v3 and the tracers of envoy.config.trace.v3 that are read here. */
import type { z } from 'zod';
import { HeaderValueOption, Percent } from '../core.ts';
import {
  any,
  bool,
  duration,
  enumeration,
  list,
  message,
  messageRequiring,
  nonEmpty,
  string,
  uint32,
} from '../message.ts';

const named = messageRequiring({ name: nonEmpty(), defaultValue: string() }, ['name']);

/** envoy.type.tracing.v3.CustomTag */
const CustomTag = messageRequiring(
  {
    tag: nonEmpty(),
    literal: messageRequiring({ value: nonEmpty() }, ['value']),
    environment: named,
    requestHeader: named,
    metadata: message({
      kind: message({ request: message({}), route: message({}), cluster: message({}), host: message({}) }),
      metadataKey: messageRequiring({ key: nonEmpty(), path: list(messageRequiring({ key: nonEmpty() }, ['key'])) }, [
        'key',
      ]),
      defaultValue: string(),
    }),
    /** Command operators of access logs. */
    value: string(),
  },
  ['tag'],
);

const HttpService = message({
  httpUri: messageRequiring({ uri: nonEmpty(), cluster: nonEmpty(), timeout: duration() }, ['uri', 'cluster']),
  requestHeadersToAdd: list(HeaderValueOption),
});

const GrpcService = message({
  envoyGrpc: messageRequiring({ clusterName: nonEmpty(), authority: string() }, ['clusterName']),
  timeout: duration(),
  initialMetadata: list(message({ key: string(), value: string() })),
});

export const ZipkinConfig = message({
  collectorCluster: string(),
  collectorEndpoint: string(),
  collectorHostname: string(),
  collectorEndpointVersion: enumeration(['DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE', 'HTTP_JSON', 'HTTP_PROTO']),
  traceId128bit: bool(),
  sharedSpanContext: bool(),
  collectorService: HttpService,
  traceContextOption: enumeration(['USE_B3', 'USE_B3_WITH_W3C_PROPAGATION']),
});
export type ZipkinConfig = z.infer<typeof ZipkinConfig>;

export const OpenTelemetryConfig = message({
  grpcService: GrpcService,
  httpService: HttpService,
  serviceName: string(),
});

const Tracer = messageRequiring(
  {
    name: nonEmpty(),
    typedConfig: any({
      'envoy.config.trace.v3.ZipkinConfig': ZipkinConfig,
      'envoy.config.trace.v3.OpenTelemetryConfig': OpenTelemetryConfig,
    }),
  },
  ['name', 'typedConfig'],
);
export type Tracer = z.infer<typeof Tracer>;

export const ManagerTracing = message({
  clientSampling: Percent,
  randomSampling: Percent,
  overallSampling: Percent,
  verbose: bool(),
  maxPathTagLength: uint32(),
  customTags: list(CustomTag),
  provider: Tracer,
  spawnUpstreamSpan: bool(),
  noContextPropagation: bool(),
});
export type ManagerTracing = z.infer<typeof ManagerTracing>;
