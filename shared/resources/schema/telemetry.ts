/** The schema of Telemetry's spec, field for field (istio.io/latest/docs/reference/config/telemetry). */
import type { z } from 'zod';
import { selector, targetRef, targetRefs } from './common.ts';
import * as rules from './rules/rules.ts';
import {
  atMostOne,
  bool,
  duration,
  list,
  map,
  nullable,
  number,
  object,
  oneOfNames,
  string,
  withRules,
} from './vocabulary.ts';

export const Filter = object({
  expression: string().describe('CEL expression over request and response, as response.code >= 400.'),
});
export type Filter = z.infer<typeof Filter>;

const mode = () =>
  oneOfNames(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']).describe(
    'CLIENT is traffic leaving the workload, SERVER traffic coming to it. Default: CLIENT_AND_SERVER.',
  );

export const AccessLoggingMatch = object({
  mode: mode(),
});
export type AccessLoggingMatch = z.infer<typeof AccessLoggingMatch>;

export const Provider = object(
  {
    name: string({ min: 1 }).describe('Name of an extension provider of the mesh config (extensionProviders).'),
  },
  ['name'],
);
export type Provider = z.infer<typeof Provider>;

const providers = () =>
  list(Provider).describe('Where it is sent. Default: those of the next wider resource, at last of the mesh config.');

export const AccessLogging = object({
  disabled: nullable(bool()).describe('No access log for what matches. Default: false.'),
  filter: Filter.describe('Which requests and connections are logged. Default: all.'),
  match: AccessLoggingMatch.describe('Which traffic this is for. Default: both directions.'),
  providers: providers(),
});
export type AccessLogging = z.infer<typeof AccessLogging>;

export const OverrideMatch = atMostOne(
  object({
    customMetric: string({ min: 1 }).describe('A metric by its own name.'),
    metric: oneOfNames([
      'ALL_METRICS',
      'REQUEST_COUNT',
      'REQUEST_DURATION',
      'REQUEST_SIZE',
      'RESPONSE_SIZE',
      'TCP_OPENED_CONNECTIONS',
      'TCP_CLOSED_CONNECTIONS',
      'TCP_SENT_BYTES',
      'TCP_RECEIVED_BYTES',
      'GRPC_REQUEST_MESSAGES',
      'GRPC_RESPONSE_MESSAGES',
    ]).describe("One of Istio's standard metrics. Default: ALL_METRICS."),
    mode: mode(),
  }),
  ['metric', 'customMetric'],
);
export type OverrideMatch = z.infer<typeof OverrideMatch>;

export const TagOverride = withRules(
  object({
    operation: oneOfNames(['UPSERT', 'REMOVE']).describe('Set the tag, or take it away. Default: UPSERT.'),
    value: string().describe('CEL expression for its value, as request.host; with UPSERT.'),
  }),
  rules.upsertValue,
  rules.removeValue,
);
export type TagOverride = z.infer<typeof TagOverride>;

export const Override = object({
  disabled: nullable(bool()).describe('The metric is not kept. Default: false.'),
  match: OverrideMatch.describe('Which metrics, of which traffic. Default: all.'),
  tagOverrides: map(TagOverride).describe('Changes to its tags (labels), by their names.'),
});
export type Override = z.infer<typeof Override>;

export const Metric = object({
  overrides: list(Override).describe('Changes to the metrics, applied in order.'),
  providers: providers(),
  reportingInterval: duration(1).describe('How often metrics of open TCP connections are reported. Default: 5s.'),
});
export type Metric = z.infer<typeof Metric>;

const named = (what: string) =>
  object(
    {
      defaultValue: string().describe(`Value of the tag where there is no such ${what}. Default: no tag.`),
      name: string({ min: 1 }).describe(`The ${what}, by its name.`),
    },
    ['name'],
  );
const valued = (what: string) => object({ value: string({ min: 1 }).describe(what) }, ['value']);

export const CustomTag = atMostOne(
  object({
    environment: named('environment variable').describe('The value is an environment variable of the proxy.'),
    formatter: valued('Command operators of the access log, as %REQ(:METHOD)%.').describe(
      'The value is written as a line of the access log is.',
    ),
    header: named('request header').describe('The value is that of a request header.'),
    literal: valued('The value.').describe('The value is always the same.'),
  }),
  ['literal', 'environment', 'header', 'formatter'],
);
export type CustomTag = z.infer<typeof CustomTag>;

export const Tracing = object({
  customTags: map(CustomTag).describe('Further tags of the spans, by their names.'),
  disableContextPropagation: nullable(bool()).describe('Trace headers are not sent on. Default: false.'),
  disableSpanReporting: nullable(bool()).describe('No spans are sent; trace headers still are. Default: false.'),
  enableIstioTags: nullable(bool()).describe("Spans have Istio's own tags, as istio.canonical_service. Default: true."),
  match: AccessLoggingMatch.describe('Which traffic this is for. Default: both directions.'),
  providers: providers(),
  randomSamplingPercentage: nullable(number({ min: 0, max: 100 })).describe(
    'Share of the requests without a decision from upstream that are traced, in steps of 0.01. Default: as in the mesh config, 1 there.',
  ),
  useRequestIdForTraceSampling: nullable(bool()).describe(
    'The decision is kept in x-request-id, so that every proxy makes the same. Default: true.',
  ),
});
export type Tracing = z.infer<typeof Tracing>;

export const TelemetrySpec = withRules(
  object({
    accessLogging: list(AccessLogging).describe('Access logs.'),
    metrics: list(Metric).describe('Metrics.'),
    selector,
    targetRef,
    targetRefs,
    tracing: list(Tracing).describe('Traces.'),
  }),
  rules.policyTarget,
);
export type TelemetrySpec = z.infer<typeof TelemetrySpec>;
