/** The tracing of connection managers on one side of a proxy (Telemetries.Tracing and configureTracing of Istio). */
import type { MeshConfig } from '../../../shared/resources/mesh-config/mesh-config.ts';
import type { ExtensionProvider } from '../../../shared/resources/mesh-config/mesh-config-providers.ts';
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import type { CustomTag, Tracing } from '../../../shared/resources/schema/telemetry.ts';
import { keyPath } from '../../../shared/resources/violations.ts';
import { unreadablePart } from '../../../shared/xds/access-log-format.ts';
import type { ManagerTracing } from '../../../shared/xds/telemetry/tracing.ts';
import { specOf } from '../../mesh/fields.ts';
import type { Finding } from '../output/finding.ts';
import { includesSide, type Side, type Telemetry } from './applicable.ts';
import { type ClusterLookup, namesOf, providerNamed, withoutEffect } from './providers.ts';
import { missingTracer, tracerOf } from './tracers.ts';

/** Of a mesh that sets none: PILOT_TRACE_SAMPLING of istiod. */
const DEFAULT_SAMPLING = 1;

/** What Istio's own tags say of a workload. */
export interface TracedWorkload {
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly clusterId: string;
  readonly meshId: string;
  readonly namespace: string;
}

export interface TracingInput {
  readonly config: MeshConfig;
  /** `tracing` of the proxy's ProxyConfig. */
  readonly proxyTracing: MeshProxyConfig['tracing'];
  readonly telemetries: readonly Telemetry[];
  readonly side: Side;
  readonly clusterOf: ClusterLookup;
  readonly workload: TracedWorkload;
  readonly isGateway: boolean;
  readonly note: (finding: Finding) => void;
}

export interface CompiledTracing {
  readonly tracing: ManagerTracing | undefined;
  readonly useRequestIdForTraceSampling: boolean;
}

const NOT_TRACED: CompiledTracing = { tracing: undefined, useRequestIdForTraceSampling: true };

/** The entries that count on one side, merged. */
interface Spec {
  provider: ExtensionProvider | undefined;
  /** Who names it; undefined: MeshConfig. */
  origin: Origin | undefined;
  disabled: boolean;
  sampling: number | undefined;
  tags: { readonly given: Tags; readonly origin: Origin } | undefined;
  byRequestId: boolean;
  istioTags: boolean;
  propagates: boolean;
}
type Tags = Readonly<Record<string, CustomTag>>;
interface Origin {
  readonly resource: Telemetry;
  readonly path: string;
}

export function tracingOf(input: TracingInput): CompiledTracing {
  const { config, telemetries } = input;
  const entries = telemetries.flatMap((resource) =>
    (specOf(resource).tracing ?? []).map((entry, i) => ({ entry, origin: { resource, path: `spec.tracing[${i}]` } })),
  );
  const [byDefault] = config.defaultProviders?.tracing ?? [];
  if (entries.length === 0 && byDefault === undefined) return meshTracing(input);
  const spec = merged(input, entries, byDefault);
  if (spec.disabled || !spec.provider) return NOT_TRACED;
  return withProvider(input, spec, spec.provider);
}

function merged(
  { config, side, note }: TracingInput,
  entries: readonly { entry: Tracing; origin: Origin }[],
  byDefault: string | undefined,
): Spec {
  const spec: Spec = {
    provider: byDefault === undefined ? undefined : providerNamed(config, byDefault),
    origin: undefined,
    disabled: false,
    sampling: undefined,
    tags: undefined,
    byRequestId: true,
    istioTags: true,
    propagates: true,
  };
  for (const { entry, origin } of entries) {
    const [name] = namesOf(entry.providers);
    const provider = name === undefined ? undefined : providerNamed(config, name);
    if (name !== undefined && !provider)
      note(
        withoutEffect(
          origin.resource,
          `${origin.path}.providers: MeshConfig has no extension provider "${name}": requests are not traced`,
        ),
      );
    if (!includesSide(entry.match, side)) continue;
    if (name !== undefined) Object.assign(spec, { provider, origin });
    spec.disabled = entry.disableSpanReporting ?? spec.disabled;
    if (entry.customTags) spec.tags = { given: entry.customTags, origin };
    spec.sampling = entry.randomSamplingPercentage ?? spec.sampling;
    spec.byRequestId = entry.useRequestIdForTraceSampling ?? spec.byRequestId;
    spec.istioTags = entry.enableIstioTags ?? spec.istioTags;
    spec.propagates = entry.disableContextPropagation == null ? spec.propagates : !entry.disableContextPropagation;
  }
  return spec;
}

/** Without Telemetry and default providers: sampling of request ids alone, for nothing says where spans go. */
function meshTracing({ config, proxyTracing }: TracingInput): CompiledTracing {
  if (config.enableTracing !== true) return NOT_TRACED;
  return {
    tracing: {
      ...sampled(meshSampling(proxyTracing)),
      ...proxyTags(proxyTracing),
      ...tagLength(proxyTracing?.maxPathTagLength),
    },
    useRequestIdForTraceSampling: true,
  };
}

function withProvider(input: TracingInput, spec: Spec, provider: ExtensionProvider): CompiledTracing {
  const { clusterOf, isGateway, proxyTracing, note } = input;
  const { origin } = spec;
  const tracer = tracerOf(provider, clusterOf);
  if (typeof tracer === 'string') {
    if (origin)
      note(
        withoutEffect(
          origin.resource,
          `${origin.path}.providers: "${provider.name}": ${tracer}: requests are not traced`,
        ),
      );
    return NOT_TRACED;
  }
  const unreported = missingTracer(provider);
  if (origin && unreported)
    note(withoutEffect(origin.resource, `${origin.path}.providers: "${provider.name}": ${unreported}`));
  const { typed, maxTagLength, startsChildSpan } = tracer;
  return {
    tracing: {
      ...sampled(spec.sampling ?? meshSampling(proxyTracing)),
      ...tagsOf(input, spec),
      ...tagLength(maxTagLength || proxyTracing?.maxPathTagLength),
      provider: typed,
      ...((startsChildSpan || isGateway) && { spawnUpstreamSpan: true }),
      ...(!spec.propagates && { noContextPropagation: true }),
    },
    useRequestIdForTraceSampling: spec.byRequestId,
  };
}

const sampled = (value: number) => ({
  clientSampling: { value: 100 },
  randomSampling: { value },
  overallSampling: { value: 100 },
});

function meshSampling(proxyTracing: TracingInput['proxyTracing']): number {
  return proxyTracing?.sampling || DEFAULT_SAMPLING;
}

const tagLength = (length: number | undefined) => (length ? { maxPathTagLength: length } : {});

type XdsTag = NonNullable<ManagerTracing['customTags']>[number];

const sortedTags = (tags: readonly XdsTag[]) =>
  tags.length === 0 ? {} : { customTags: [...tags].sort((a, b) => (a.tag < b.tag ? -1 : 1)) };

function proxyTags(proxyTracing: TracingInput['proxyTracing']) {
  return sortedTags(xdsTags((proxyTracing?.customTags ?? {}) as Tags));
}

/** Tags of Telemetry take the place of those of ProxyConfig; Istio's own come beside them. */
function tagsOf({ proxyTracing, workload, note }: TracingInput, { tags, istioTags }: Spec) {
  const given = tags && Object.keys(tags.given).length > 0 ? tags.given : ((proxyTracing?.customTags ?? {}) as Tags);
  if (tags)
    for (const [name, { formatter }] of Object.entries(tags.given)) {
      const unreadable = formatter && unreadablePart(formatter.value);
      if (unreadable !== undefined)
        note(
          withoutEffect(
            tags.origin.resource,
            `${keyPath(`${tags.origin.path}.customTags`, name)}.formatter.value: proxies cannot read ${unreadable}: there is no such tag`,
          ),
        );
    }
  return sortedTags([...xdsTags(given), ...(istioTags ? istioTagsOf(workload) : [])]);
}

function xdsTags(tags: Tags): XdsTag[] {
  return Object.entries(tags).flatMap(([tag, { literal, environment, header, formatter }]): XdsTag[] => {
    if (literal) return [{ tag, literal: { value: literal.value } }];
    if (environment) return [{ tag, environment: withDefault(environment) }];
    if (header) return [{ tag, requestHeader: withDefault(header) }];
    return formatter && unreadablePart(formatter.value) === undefined ? [{ tag, value: formatter.value }] : [];
  });
}

const withDefault = ({ name, defaultValue }: { name: string; defaultValue?: string | undefined }) => ({
  name,
  ...(defaultValue && { defaultValue }),
});

const RBAC = 'envoy.filters.http.rbac';

/** What dry-run policies would have decided, where there are any. */
const DRY_RUN: readonly XdsTag[] = (['allow', 'deny'] as const).flatMap((action) =>
  (
    [
      ['name', 'shadow_effective_policy_id'],
      ['result', 'shadow_engine_result'],
    ] as const
  ).map(([what, key]) => ({
    tag: `istio.authorization.dry_run.${action}_policy.${what}`,
    metadata: {
      kind: { request: {} },
      metadataKey: { key: RBAC, path: [{ key: `istio_dry_run_${action}_${key}` }] },
    },
  })),
);

function istioTagsOf(workload: TracedWorkload): XdsTag[] {
  const { canonicalRevision, canonicalService, meshId, namespace, clusterId } = workload;
  const literal = (tag: string, value: string): XdsTag => ({ tag: `istio.${tag}`, literal: { value } });
  return [
    literal('canonical_revision', canonicalRevision || 'latest'),
    literal('canonical_service', canonicalService || 'unknown'),
    literal('mesh_id', meshId || 'unknown'),
    literal('namespace', namespace || 'default'),
    literal('cluster_id', clusterId || 'unknown'),
    ...DRY_RUN,
  ];
}
