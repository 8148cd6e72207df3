/**
 * The ProxyConfig in force for a workload. Each of these over the ones before it, field by field (EffectiveProxyConfig
 * in Istio's pilot/pkg/model/proxy_config.go): Istio's defaults, MeshConfig.defaultConfig, PROXY_CONFIG of the node's metadata,
 * which agents of Istio send, a ProxyConfig without selector in
 * the root namespace, one in the workload's namespace, annotation `proxy.istio.io/config` of the workload, a ProxyConfig
 * whose selector matches. Of several in one place the oldest counts, the others do nothing. Workloads that share an address
 * share the process: a selector matches where it picks one of them.
 */
import {
  DENIAL_HEADER_METADATA,
  HTTP10_METADATA,
  IGNORED_UPGRADES_METADATA,
  SELF_DISCOVERY_METADATA,
} from '../../../shared/resources/effects/proxy-config.ts';
import { overProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-defaults.ts';
import type { MeshProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-proxy.ts';
import { readProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import { parseDuration } from '../../../shared/resources/schema/vocabulary.ts';
import type { Node } from '../../../shared/xds/core.ts';
import type { ProxyConfigAnswer } from '../../../shared/xds/proxy-config.ts';
import { isKind, namespaceOf, specOf } from '../../mesh/fields.ts';
import type { MeshView } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import { isSwitchedOn, type ProxyView, proxyOf } from '../scope/proxy.ts';
import { type LocalWorkload, selectsProxy } from '../scope/workloads.ts';
import type { ProxyHttpSettings } from '../sidecar/http-manager.ts';
import { PROXY_TYPES } from './proxy-types.ts';
import { workloadProbe } from './workload-probe.ts';

/** Annotation of a workload: a ProxyConfig of MeshConfig, as YAML. */
export const PROXY_CONFIG_ANNOTATION = 'proxy.istio.io/config';

type ProxyConfig = ResourceOfKind<'ProxyConfig'>;
type Entry = ResourceOfKind<'WorkloadEntry'>;
type Group = ResourceOfKind<'WorkloadGroup'>;

type Workload = Pick<ProxyView, 'namespace' | 'labels' | 'ips' | 'serviceAccount'> & {
  ownConfig?: ProxyView['ownConfig'];
  group?: ProxyView['group'];
  workloads: readonly Pick<LocalWorkload, 'labels' | 'isOwn'>[];
};

/** What the proxy of `node` takes at its start. @throws NodeError when the node's id or metadata is malformed */
export function proxyConfigAnswer(view: MeshView, node: Node): ProxyConfigAnswer {
  const proxy = proxyOf(view, node, PROXY_TYPES);
  const config = effectiveProxyConfig(view, proxy);
  const probe = workloadProbe(groupOf(view, proxy)?.spec?.probe ?? config.readinessProbe);
  const { concurrency, statsCompression } = config;
  const maxConnections = config.connectionSettings?.globalDownstreamConnectionLimit;
  const drainDuration = seconds(config.drainDuration);
  const terminationDrainDuration = seconds(config.terminationDrainDuration);
  return {
    ...(concurrency !== undefined && concurrency >= 0 ? { concurrency } : {}),
    ...(maxConnections !== undefined && maxConnections > 0 ? { maxConnections } : {}),
    ...(statsCompression === undefined ? {} : { statsCompression }),
    ...(drainDuration === undefined ? {} : { drainDuration }),
    ...(terminationDrainDuration === undefined ? {} : { terminationDrainDuration }),
    ...(probe && { probe }),
  };
}

/** The WorkloadGroup that the proxy names; where it names none, the one that describes the workload. */
function groupOf(view: MeshView, workload: Workload): Group | undefined {
  const { namespace, group, serviceAccount } = workload;
  return view.resources('WorkloadGroup').find((item) => {
    if (namespaceOf(item) !== namespace) return false;
    if (!group) return isOfGroup(item, workload);
    return item.metadata.name === group && (specOf(item).template?.serviceAccount || 'default') === serviceAccount;
  });
}

/** What it decides about HTTP connection managers (Istio's pilot/pkg/networking/core: listener.go, gateway.go). */
export function proxyHttpSettings(view: MeshView, proxy: ProxyView): ProxyHttpSettings {
  const { proxyMetadata, gatewayTopology, proxyHeaders, connectionSettings } = effectiveProxyConfig(view, proxy);
  const forward = gatewayTopology?.forwardClientCertDetails;
  return {
    acceptsHttp10: proxy.acceptsHttp10 || isSwitchedOn(proxyMetadata?.[HTTP10_METADATA]),
    ignoredUpgrades: proxyMetadata?.[IGNORED_UPGRADES_METADATA] ?? '',
    denialHeader: headerName(proxyMetadata?.[DENIAL_HEADER_METADATA]),
    trustedProxies: gatewayTopology?.numTrustedProxies ?? 0,
    forwardClientCert: forward === undefined || forward === 'UNDEFINED' ? 'SANITIZE_SET' : forward,
    headers: sameFor({ text: JSON.stringify(proxyHeaders ?? {}) }),
    connections: sameFor({ text: JSON.stringify(connectionSettings ?? {}) }),
  };
}

/** Whether the proxy is given the endpoints of its own service (`ISTIO_META_ENABLE_SELF_DISCOVERY`). */
export function discoversItself(view: MeshView, proxy: ProxyView): boolean {
  return isSwitchedOn(effectiveProxyConfig(view, proxy).proxyMetadata?.[SELF_DISCOVERY_METADATA]);
}

/** Lower-case; '' where it names no header that answers made by a proxy could have. */
function headerName(name = ''): string {
  const key = name.toLowerCase();
  return /^x-[!#$%&'*+\-.^_`|~0-9a-z]{1,60}$/.test(key) ? key : '';
}

/** One object for one text: generators compare by identity. */
const sameFor = generator<{ text: string }, object>({ text: true }, ({ text }) => JSON.parse(text) as object);

/** The whole of it, also of fields no proxy reads. */
export function effectiveProxyConfig(view: MeshView, workload: Workload): MeshProxyConfig {
  const { rootNamespace, config } = view.settings;
  const { namespace } = workload;
  const all = view.resources('ProxyConfig');
  const layers = [
    workload.ownConfig,
    ofNamespace(all, rootNamespace),
    namespace === rootNamespace ? undefined : ofNamespace(all, namespace),
    ...annotatedOf(view, workload),
    ofWorkload(all, workload),
  ];
  return layers.reduce<MeshProxyConfig>(
    (base, own) => (own ? overProxyConfig(own, base) : base),
    config.defaultConfig ?? {},
  );
}

function ofNamespace(all: readonly ProxyConfig[], namespace: string): MeshProxyConfig | undefined {
  const found = all.find((item) => namespaceOf(item) === namespace && !specOf(item).selector);
  return found && asMeshProxyConfig(found);
}

/** A selector without labels selects nothing here. */
function ofWorkload(all: readonly ProxyConfig[], workload: Workload): MeshProxyConfig | undefined {
  const found = all.find((item) => {
    if (namespaceOf(item) !== workload.namespace) return false;
    const wanted = specOf(item).selector?.matchLabels ?? {};
    return Object.keys(wanted).length > 0 && selectsProxy(wanted, workload);
  });
  return found && asMeshProxyConfig(found);
}

function asMeshProxyConfig(resource: ProxyConfig): MeshProxyConfig {
  const { concurrency, environmentVariables } = specOf(resource);
  return {
    ...(typeof concurrency === 'number' && { concurrency }),
    ...(environmentVariables ? { proxyMetadata: environmentVariables } : {}),
  };
}

/**
 * The annotation's values for a workload, the later ones over the earlier: of its WorkloadGroup, of the group's template for
 * entries, of its WorkloadEntry.
 */
function annotatedOf(view: MeshView, workload: Workload): readonly (MeshProxyConfig | undefined)[] {
  const own = (item: Entry | Group) => namespaceOf(item) === workload.namespace;
  const group = groupOf(view, workload);
  const entry = annotatedEntries({ entries: view.resources('WorkloadEntry') }).find(
    (item) => own(item) && isEntryOf(item, workload),
  );
  return [...(group ? configsOf({ resource: group }) : []), ...(entry ? configsOf({ resource: entry }) : [])];
}

/** Of a mesh's many entries the few that have the annotation. */
const annotatedEntries = generator<{ entries: readonly Entry[] }, readonly Entry[]>({ entries: true }, ({ entries }) =>
  entries.filter((item) => annotationOf(item.metadata.annotations) !== undefined),
);

const configsOf = generator<{ resource: Entry | Group }, readonly (MeshProxyConfig | undefined)[]>(
  { resource: true },
  ({ resource }) => proxyConfigAnnotations(resource).map(({ yaml }) => readProxyConfig(yaml).value),
);

/** The annotations of this name in a WorkloadEntry or WorkloadGroup, with where they stand. */
export function proxyConfigAnnotations(resource: Entry | Group): { path: string; yaml: string }[] {
  const template = isKind(resource, 'WorkloadGroup') ? specOf(resource).metadata?.annotations : undefined;
  return [
    { path: 'metadata.annotations', yaml: annotationOf(resource.metadata.annotations) },
    { path: 'spec.metadata.annotations', yaml: annotationOf(template) },
  ].flatMap(({ path, yaml }) => (yaml === undefined ? [] : [{ path: `${path}["${PROXY_CONFIG_ANNOTATION}"]`, yaml }]));
}

const annotationOf = (annotations: Record<string, string> | undefined): string | undefined =>
  annotations?.[PROXY_CONFIG_ANNOTATION] || undefined;

/** Whether a WorkloadGroup describes the workload: service account and all labels; one without labels describes none. */
export function isOfGroup(group: Group, workload: Workload): boolean {
  const { metadata, template } = specOf(group);
  const wanted = { ...metadata?.labels, ...template?.labels };
  if (Object.keys(wanted).length === 0 || !selectsProxy(wanted, workload)) return false;
  return (template?.serviceAccount || 'default') === workload.serviceAccount;
}

/** The WorkloadEntries of a proxy: of its namespace, address and service account. */
export function entriesOf(view: MeshView, workload: Workload): readonly Entry[] {
  return [...new Set(workload.ips)]
    .flatMap((ip) => view.workloadEntriesAt(ip, workload.namespace))
    .filter(
      (entry) => isEntryOf(entry, workload) && (specOf(entry).serviceAccount || 'default') === workload.serviceAccount,
    );
}

/** By address and by the service account, where the entry names one; on a loopback address, which many workloads share, by labels too. */
function isEntryOf(entry: Entry, { ips, labels, workloads, serviceAccount }: Workload): boolean {
  const { address = '', ...own } = specOf(entry);
  if (!ips.includes(address)) return false;
  if (address !== '::1' && !address.startsWith('127.'))
    return !own.serviceAccount || own.serviceAccount === serviceAccount;
  if ((own.serviceAccount || 'default') !== serviceAccount) return false;
  return selectsProxy(own.labels ?? {}, { labels, workloads });
}

/** A Go duration in whole milliseconds, as proto3 JSON has it; never negative. */
function seconds(duration: string | undefined): string | undefined {
  const ms = duration === undefined ? undefined : parseDuration(duration);
  return ms === undefined ? undefined : `${Math.max(0, Math.round(ms)) / 1000}s`;
}
