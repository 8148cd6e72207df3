/** The configuration of Istio's metrics for one side of a proxy (mergeMetrics and generateStatsConfig of Istio). */
import { celRefusal } from '../../../shared/cel/expression.ts';
import type { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import type { Metric, Override, TagOverride } from '../../../shared/resources/schema/telemetry.ts';
import { keyPath } from '../../../shared/resources/violations.ts';
import type { StatsConfig } from '../../../shared/xds/filters/istio-stats.ts';
import { specOf } from '../../mesh/fields.ts';
import { protoDuration } from '../durations.ts';
import type { Finding } from '../output/finding.ts';
import { includesSide, type Side, type Telemetry } from './applicable.ts';
import { namesOf, providerNamed, providerType, withoutEffect } from './providers.ts';

/** Istio's names of the metrics -> their names without `istio_`. In the order in which istiod writes them. */
export const METRIC_NAMES = {
  GRPC_REQUEST_MESSAGES: 'request_messages_total',
  GRPC_RESPONSE_MESSAGES: 'response_messages_total',
  REQUEST_COUNT: 'requests_total',
  REQUEST_DURATION: 'request_duration_milliseconds',
  REQUEST_SIZE: 'request_bytes',
  RESPONSE_SIZE: 'response_bytes',
  TCP_CLOSED_CONNECTIONS: 'tcp_connections_closed_total',
  TCP_OPENED_CONNECTIONS: 'tcp_connections_opened_total',
  TCP_RECEIVED_BYTES: 'tcp_received_bytes_total',
  TCP_SENT_BYTES: 'tcp_sent_bytes_total',
} as const;
const ALL = Object.keys(METRIC_NAMES);
const nameOf = (metric: string): string =>
  Object.hasOwn(METRIC_NAMES, metric) ? METRIC_NAMES[metric as keyof typeof METRIC_NAMES] : metric;

/** Istio's Helm chart names it in `defaultProviders`; here it holds without that. */
const IMPLIED = ['prometheus'];

export interface MetricsInput {
  readonly config: MeshConfig;
  readonly telemetries: readonly Telemetry[];
  readonly side: Side;
  readonly note: (finding: Finding) => void;
}

interface Merged {
  disabled: boolean;
  interval: string | undefined;
  /** By Istio's name of the metric, or a custom one. */
  readonly overrides: Map<string, { disabled: boolean; readonly tags: Map<string, TagOverride> }>;
}

interface Origin {
  readonly resource: Telemetry;
  readonly path: string;
}

/** undefined: the proxy makes all metrics as they are. */
export function statsConfigOf(input: MetricsInput): StatsConfig | undefined {
  const { config, telemetries, side, note } = input;
  const written = telemetries.flatMap((resource) =>
    (specOf(resource).metrics ?? []).map((metric, i) => ({ metric, origin: { resource, path: `spec.metrics[${i}]` } })),
  );
  const named = config.defaultProviders?.metrics ?? [];
  if (written.length === 0 && named.length === 0) return undefined;
  const defaults = named.length > 0 ? named : IMPLIED;
  const inScope = written.reduce(
    (names, { metric }) => (metric.providers?.length ? namesOf(metric.providers) : names),
    defaults,
  );
  for (const one of written) noteProviders(config, one, note);
  const merged: Merged = { disabled: false, interval: undefined, overrides: new Map() };
  const scraped = inScope.filter((name) => isPrometheus(config, name));
  let names = defaults;
  for (const { metric, origin } of written) {
    if (metric.providers?.length) names = namesOf(metric.providers);
    if (names.some((name) => scraped.includes(name))) merge(merged, metric, origin, side, note);
  }
  if (scraped.length === 0 || merged.disabled) return dropsAll(side);
  return statsConfig(merged, side);
}

function isPrometheus(config: MeshConfig, name: string): boolean {
  const provider = providerNamed(config, name);
  return provider !== undefined && providerType(provider) === 'prometheus';
}

function noteProviders(
  config: MeshConfig,
  { metric, origin }: { metric: Metric; origin: Origin },
  note: MetricsInput['note'],
) {
  for (const name of namesOf(metric.providers)) {
    if (isPrometheus(config, name)) continue;
    const why = providerNamed(config, name)
      ? 'is no provider whose metrics proxies make: they make those of prometheus'
      : 'is not among the extension providers of MeshConfig';
    note(withoutEffect(origin.resource, `${origin.path}.providers: "${name}" ${why}`));
  }
}

/** Later overrides over earlier ones, tag by tag. */
function merge(merged: Merged, metric: Metric, origin: Origin, side: Side, note: MetricsInput['note']): void {
  merged.interval = metric.reportingInterval ?? merged.interval;
  for (const [i, override] of (metric.overrides ?? []).entries()) {
    const path = `${origin.path}.overrides[${i}]`;
    noteOverride(override, { ...origin, path }, note);
    if (!includesSide(override.match, side)) continue;
    const { metric: name = 'ALL_METRICS', customMetric } = override.match ?? {};
    if (customMetric === undefined && name === 'ALL_METRICS' && override.disabled === true) {
      merged.disabled = true;
      continue;
    }
    merged.disabled = false;
    for (const one of customMetric ? [customMetric] : name === 'ALL_METRICS' ? ALL : [name])
      apply(merged, one, override);
  }
}

function apply({ overrides }: Merged, metric: string, { disabled, tagOverrides = {} }: Override): void {
  let found = overrides.get(metric);
  if (!found) overrides.set(metric, (found = { disabled: false, tags: new Map() }));
  if (disabled !== undefined && disabled !== null) found.disabled = disabled;
  for (const [tag, override] of Object.entries(tagOverrides)) found.tags.set(tag, override);
}

function noteOverride(
  { match, tagOverrides = {} }: Override,
  { resource, path }: Origin,
  note: MetricsInput['note'],
): void {
  const custom = match?.customMetric;
  if (custom !== undefined && !Object.values<string>(METRIC_NAMES).includes(custom.replace(/^istio_/, '')))
    note(
      withoutEffect(
        resource,
        `${path}.match.customMetric: proxies make no metric "${custom}": the override has no effect`,
      ),
    );
  for (const [tag, { operation = 'UPSERT', value = '' }] of Object.entries(tagOverrides)) {
    const refusal = operation === 'UPSERT' ? celRefusal(value, { strings: true }) : undefined;
    if (refusal !== undefined)
      note(withoutEffect(resource, `${keyPath(`${path}.tagOverrides`, tag)}.value: ${refusal}: the tag is "unknown"`));
  }
}

const hostFallback = (side: Side) => (side === 'server' ? { disableHostHeaderFallback: true } : {});

function dropsAll(side: Side): StatsConfig {
  return { ...hostFallback(side), metrics: Object.values(METRIC_NAMES).map((name) => ({ name, drop: true })) };
}

function statsConfig({ interval, overrides }: Merged, side: Side): StatsConfig {
  const metrics = [...overrides]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([metric, { disabled, tags }]) => metricConfig(nameOf(metric), disabled, tags));
  const duration = interval === undefined ? undefined : protoDuration(interval);
  return {
    ...hostFallback(side),
    ...(duration !== undefined && { tcpReportingDuration: duration }),
    ...(metrics.length > 0 && { metrics }),
  };
}

/** An expression that cannot be used is one that fails: its tag is "unknown". */
const FAILS = '1 / 0';

function metricConfig(name: string, drop: boolean, tags: ReadonlyMap<string, TagOverride>) {
  const sorted = [...tags].sort(([a], [b]) => (a < b ? -1 : 1));
  const removed = sorted.flatMap(([tag, { operation }]) => (operation === 'REMOVE' ? [tag] : []));
  const set = sorted.flatMap(([tag, { operation, value = '' }]) =>
    operation === 'REMOVE' ? [] : [[tag, celRefusal(value, { strings: true }) === undefined ? value : FAILS]],
  );
  return {
    name,
    ...(set.length > 0 && { dimensions: Object.fromEntries(set) as Record<string, string> }),
    ...(removed.length > 0 && { tagsToRemove: removed }),
    ...(drop && { drop }),
  };
}
