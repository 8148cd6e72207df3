/**
 * The ProxyConfig in force for a workload. Each of these over the ones before it, field by field (EffectiveProxyConfig
 * in Istio's pilot/pkg/model/proxy_config.go): Istio's defaults, MeshConfig.defaultConfig, a ProxyConfig without selector in
 * the root namespace, one in the workload's namespace, annotation `proxy.istio.io/config` of the workload, a ProxyConfig
 * whose selector matches. Of several in one place the oldest counts, the others do nothing. Workloads that share an address
 * share the process: a selector matches where it picks one of them.
 */
import { overProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-defaults.ts';
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import { readProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import { parseDuration } from '../../../shared/resources/schema/vocabulary.ts';
import type { Node } from '../../../shared/xds/core.ts';
import type { ProxyConfigAnswer } from '../../../shared/xds/proxy-config.ts';
import { fields, isFields, labelsOf, namespaceOf, numeric, specOf, text } from '../../mesh/fields.ts';
import type { MeshView } from '../../mesh/view.ts';
import { type ProxyView, proxyOf } from '../scope/proxy.ts';
import { type LocalWorkload, selectsProxy } from '../scope/workloads.ts';

/** Annotation of a workload: a ProxyConfig of MeshConfig, as YAML. */
export const PROXY_CONFIG_ANNOTATION = 'proxy.istio.io/config';

type Workload = Pick<ProxyView, 'namespace' | 'labels' | 'ips' | 'serviceAccount'> & {
  workloads: readonly Pick<LocalWorkload, 'labels'>[];
};

/** What the proxy of `node` takes at its start. @throws NodeError when the node's id or metadata is malformed */
export function proxyConfigAnswer(view: MeshView, node: Node): ProxyConfigAnswer {
  const config = effectiveProxyConfig(view, proxyOf(view, node));
  const { concurrency } = config;
  const drainDuration = seconds(config.drainDuration);
  const terminationDrainDuration = seconds(config.terminationDrainDuration);
  return {
    ...(concurrency !== undefined && concurrency >= 0 ? { concurrency } : {}),
    ...(drainDuration === undefined ? {} : { drainDuration }),
    ...(terminationDrainDuration === undefined ? {} : { terminationDrainDuration }),
  };
}

/** The whole of it, also of fields no proxy reads. */
export function effectiveProxyConfig(view: MeshView, workload: Workload): MeshProxyConfig {
  const { rootNamespace, config } = view.settings;
  const { namespace } = workload;
  const all = view.resources('ProxyConfig');
  const layers = [
    ofNamespace(all, rootNamespace),
    namespace === rootNamespace ? undefined : ofNamespace(all, namespace),
    ...annotationsOf(view, workload).map((annotation) => readProxyConfig(annotation).value),
    ofWorkload(all, workload),
  ];
  return layers.reduce<MeshProxyConfig>(
    (base, own) => (own ? overProxyConfig(own, base) : base),
    config.defaultConfig ?? {},
  );
}

function ofNamespace(all: readonly Resource[], namespace: string): MeshProxyConfig | undefined {
  const found = all.find((item) => namespaceOf(item) === namespace && !isFields(specOf(item)['selector']));
  return found && asMeshProxyConfig(found);
}

/** A selector without labels selects nothing here. */
function ofWorkload(all: readonly Resource[], workload: Workload): MeshProxyConfig | undefined {
  const found = all.find((item) => {
    if (namespaceOf(item) !== workload.namespace) return false;
    const wanted = labelsOf(fields(specOf(item)['selector'])['matchLabels']);
    return Object.keys(wanted).length > 0 && selectsProxy(wanted, workload);
  });
  return found && asMeshProxyConfig(found);
}

function asMeshProxyConfig(resource: Resource): MeshProxyConfig {
  const spec = specOf(resource);
  const concurrency = numeric(spec['concurrency']);
  return {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(isFields(spec['environmentVariables']) ? { proxyMetadata: labelsOf(spec['environmentVariables']) } : {}),
  };
}

/**
 * The annotation's texts for a workload, the later ones over the earlier: of its WorkloadGroup, of the group's template for
 * entries, of its WorkloadEntry.
 */
function annotationsOf(view: MeshView, workload: Workload): string[] {
  const own = (item: Resource) => namespaceOf(item) === workload.namespace;
  const group = view.resources('WorkloadGroup').find((item) => own(item) && isOfGroup(item, workload));
  const entry = view
    .resources('WorkloadEntry')
    .find((item) => own(item) && isEntryOf(item, workload) && annotationOf(item.metadata.annotations) !== undefined);
  return [...(group ? proxyConfigAnnotations(group) : []), ...(entry ? proxyConfigAnnotations(entry) : [])].map(
    ({ yaml }) => yaml,
  );
}

/** The annotations of this name in a WorkloadEntry or WorkloadGroup, with where they stand. */
export function proxyConfigAnnotations(resource: Resource): { path: string; yaml: string }[] {
  const template = resource.kind === 'WorkloadGroup' ? fields(specOf(resource)['metadata'])['annotations'] : undefined;
  return [
    { path: 'metadata.annotations', yaml: annotationOf(resource.metadata.annotations) },
    { path: 'spec.metadata.annotations', yaml: annotationOf(template) },
  ].flatMap(({ path, yaml }) => (yaml === undefined ? [] : [{ path: `${path}["${PROXY_CONFIG_ANNOTATION}"]`, yaml }]));
}

const annotationOf = (annotations: unknown): string | undefined => text(fields(annotations)[PROXY_CONFIG_ANNOTATION]);

/** Its service account and all its labels; a group without labels does not tell its workloads from others. */
/** Whether a WorkloadGroup describes the workload: by labels and service account. */
export function isOfGroup(group: Resource, workload: Workload): boolean {
  const spec = specOf(group);
  const template = fields(spec['template']);
  const wanted = { ...labelsOf(fields(spec['metadata'])['labels']), ...labelsOf(template['labels']) };
  if (Object.keys(wanted).length === 0 || !selectsProxy(wanted, workload)) return false;
  return (text(template['serviceAccount']) ?? 'default') === workload.serviceAccount;
}

/** By address; where many workloads share a loopback address, by account and labels too. */
function isEntryOf(entry: Resource, { ips, labels, workloads, serviceAccount }: Workload): boolean {
  const spec = specOf(entry);
  const address = text(spec['address']) ?? '';
  if (!ips.includes(address)) return false;
  if (address !== '::1' && !address.startsWith('127.')) return true;
  if ((text(spec['serviceAccount']) ?? 'default') !== serviceAccount) return false;
  return selectsProxy(labelsOf(spec['labels']), { labels, workloads });
}

/** A Go duration in whole milliseconds, as proto3 JSON has it; never negative. */
function seconds(duration: string | undefined): string | undefined {
  const ms = duration === undefined ? undefined : parseDuration(duration);
  return ms === undefined ? undefined : `${Math.max(0, Math.round(ms)) / 1000}s`;
}
