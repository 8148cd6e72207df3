/** DestinationRule: which one applies to a service for this proxy, its subsets, and traffic policies merged by level. */
import type { Resource } from '../../shared/resources/resource.ts';
import { exportedTo, exportToOf } from '../mesh/export-to.ts';
import {
  type Fields,
  fields,
  labelsOf,
  namespaceOf,
  numeric,
  objects,
  selects,
  specOf,
  strings,
  text,
} from '../mesh/fields.ts';
import type { MeshService, MeshView, ServicePort } from '../mesh/view.ts';
import { hostCovers, moreSpecific, resolveHost } from './names.ts';
import type { ProxyView } from './proxy.ts';

export interface Subset {
  name: string;
  labels: Record<string, string>;
  trafficPolicy: Fields | undefined;
}
/** The rule in force for one service; several resources for one host in one namespace are merged. */
export interface DestinationRule {
  name: string;
  namespace: string;
  trafficPolicy: Fields | undefined;
  subsets: Subset[];
}
export interface DestinationRules {
  for(service: MeshService): DestinationRule | undefined;
}

interface Candidate {
  host: string;
  namespace: string;
  exportTo: readonly string[];
  selector: Record<string, string> | undefined;
  resource: Resource;
}

/** Rules are looked for in the proxy's namespace, then the service's, then the root namespace. */
export function destinationRules(view: MeshView, proxy: ProxyView): DestinationRules {
  const candidates = view.resources('DestinationRule').map((resource) => candidateOf(resource, view));
  const cache = new Map<MeshService, DestinationRule | undefined>();
  return {
    for(service) {
      if (!cache.has(service)) cache.set(service, find(candidates, service, view, proxy));
      return cache.get(service);
    },
  };
}

function candidateOf(resource: Resource, view: MeshView): Candidate {
  const spec = specOf(resource);
  const namespace = namespaceOf(resource);
  const selector = fields(spec['workloadSelector'])['matchLabels'];
  return {
    host: resolveHost(text(spec['host']) ?? '', namespace, view.settings.domainSuffix),
    namespace,
    exportTo: exportToOf(strings(spec['exportTo']), view.settings.config.defaultDestinationRuleExportTo),
    selector: selector === undefined ? undefined : labelsOf(selector),
    resource,
  };
}

function find(
  candidates: readonly Candidate[],
  service: MeshService,
  view: MeshView,
  proxy: ProxyView,
): DestinationRule | undefined {
  // A gateway belongs to everyone: rules beside it must not speak for other namespaces' services.
  const places = [proxy.namespace, service.namespace, view.settings.rootNamespace];
  for (const [index, place] of places.entries()) {
    if (index === 0 && proxy.namespace === view.settings.rootNamespace) continue;
    const here = candidates.filter(
      (item) =>
        item.namespace === place &&
        hostCovers(item.host, service.hostname) &&
        (index === 0 || exportedTo(item.exportTo, item.namespace, proxy.namespace)) &&
        (item.selector === undefined || (item.namespace === proxy.namespace && selects(item.selector, proxy.labels))),
    );
    if (here.length > 0) return merge(here);
  }
  return undefined;
}

function merge(found: readonly Candidate[]): DestinationRule | undefined {
  const selected = found.filter((item) => item.selector !== undefined);
  const pool = selected.length > 0 ? selected : found;
  const host = [...pool].sort((a, b) => moreSpecific(a.host, b.host))[0]?.host;
  const same = pool.filter((item) => item.host === host);
  const first = same[0];
  if (!first) return undefined;
  const subsets = new Map<string, Subset>();
  for (const item of same)
    for (const subset of objects(specOf(item.resource)['subsets'])) {
      const name = text(subset['name']);
      if (name && !subsets.has(name)) subsets.set(name, subsetOf(name, subset));
    }
  const policy = same.map((item) => specOf(item.resource)['trafficPolicy']).find((item) => item !== undefined);
  return {
    name: first.resource.metadata.name,
    namespace: first.namespace,
    trafficPolicy: policy === undefined ? undefined : fields(policy),
    subsets: [...subsets.values()],
  };
}

function subsetOf(name: string, subset: Fields): Subset {
  const policy = subset['trafficPolicy'];
  return {
    name,
    labels: labelsOf(subset['labels']),
    trafficPolicy: policy === undefined ? undefined : fields(policy),
  };
}

const PER_PORT = ['connectionPool', 'outlierDetection', 'loadBalancer', 'tls'] as const;

/** `policy` with its settings for `port` applied: as documented, those do not inherit the destination's. */
function atPort(policy: Fields, port: ServicePort): Fields {
  const { portLevelSettings, ...rest } = policy;
  const level = objects(portLevelSettings).find((item) => numeric(fields(item['port'])['number']) === port.number);
  if (!level) return rest;
  const merged: Fields = { ...rest };
  for (const name of PER_PORT) merged[name] = level[name];
  return merged;
}

/** The policy of a service port, or of a subset at that port: the subset's fields replace the service's. */
export function trafficPolicy(
  rule: DestinationRule | undefined,
  port: ServicePort,
  subset: Subset | undefined,
): Fields {
  const base = rule?.trafficPolicy ? atPort(rule.trafficPolicy, port) : {};
  if (!subset?.trafficPolicy) return base;
  const merged: Fields = { ...base };
  for (const [name, value] of Object.entries(subset.trafficPolicy)) if (value !== undefined) merged[name] = value;
  return atPort(merged, port);
}
