/** The schema of Telemetry's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { PolicySelector, PolicyTargetReference } from './common.ts';
import { atMostOne, bool, duration, list, map, number, object, oneOfNames, string } from './vocabulary.ts';

export const Filter = object({
  expression: string(),
});
export type Filter = z.infer<typeof Filter>;

export const AccessLoggingMatch = object({
  mode: oneOfNames(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']),
});
export type AccessLoggingMatch = z.infer<typeof AccessLoggingMatch>;

export const Provider = object(
  {
    name: string({ min: 1 }),
  },
  ['name'],
);
export type Provider = z.infer<typeof Provider>;

export const AccessLogging = object({
  disabled: bool(),
  filter: Filter,
  match: AccessLoggingMatch,
  providers: list(Provider),
});
export type AccessLogging = z.infer<typeof AccessLogging>;

export const OverrideMatch = atMostOne(
  object({
    customMetric: string({ min: 1 }),
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
    ]),
    mode: oneOfNames(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']),
  }),
  ['metric', 'customMetric'],
);
export type OverrideMatch = z.infer<typeof OverrideMatch>;

export const TagOverride = object({
  operation: oneOfNames(['UPSERT', 'REMOVE']),
  value: string(),
});
export type TagOverride = z.infer<typeof TagOverride>;

export const Override = object({
  disabled: bool(),
  match: OverrideMatch,
  tagOverrides: map(TagOverride),
});
export type Override = z.infer<typeof Override>;

export const Metric = object({
  overrides: list(Override),
  providers: list(Provider),
  reportingInterval: duration(1),
});
export type Metric = z.infer<typeof Metric>;

export const Environment = object(
  {
    defaultValue: string(),
    name: string({ min: 1 }),
  },
  ['name'],
);
export type Environment = z.infer<typeof Environment>;

export const Formatter = object(
  {
    value: string({ min: 1 }),
  },
  ['value'],
);
export type Formatter = z.infer<typeof Formatter>;

export const CustomTag = atMostOne(
  object({
    environment: Environment,
    formatter: Formatter,
    header: Environment,
    literal: Formatter,
  }),
  ['literal', 'environment', 'header', 'formatter'],
);
export type CustomTag = z.infer<typeof CustomTag>;

export const Tracing = object({
  customTags: map(CustomTag),
  disableContextPropagation: bool(),
  disableSpanReporting: bool(),
  enableIstioTags: bool(),
  match: AccessLoggingMatch,
  providers: list(Provider),
  randomSamplingPercentage: number({ min: 0, max: 100 }),
  useRequestIdForTraceSampling: bool(),
});
export type Tracing = z.infer<typeof Tracing>;

export const TelemetrySpec = object({
  accessLogging: list(AccessLogging),
  metrics: list(Metric),
  selector: PolicySelector,
  targetRef: PolicyTargetReference,
  targetRefs: list(PolicyTargetReference, { max: 16 }),
  tracing: list(Tracing),
});
export type TelemetrySpec = z.infer<typeof TelemetrySpec>;
