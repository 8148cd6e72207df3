/** DestinationRule: which one applies to a service for this proxy, its subsets, and traffic policies merged by level. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { exportedTo, exportToOf } from '../../mesh/export-to.ts';
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
} from '../../mesh/fields.ts';
import { resolveHost } from '../../mesh/routes/names.ts';
import type { MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { generator, labelsFrom, sharedList } from '../memo.ts';
import { hostCovers, moreSpecific } from '../names.ts';

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

/** What destinations of routes mean to a proxy: the service behind a host name, and the rule in force for it. */
export interface Destinations {
  service(hostname: string): MeshService | undefined;
  rule(service: MeshService): DestinationRule | undefined;
}

interface Candidate {
  host: string;
  namespace: string;
  exportTo: readonly string[];
  selector: Record<string, string> | undefined;
  resource: Resource;
}

/** The rules of one namespace: by exact host, and those with a wildcard. */
interface Place {
  exact: Map<string, Candidate[]>;
  wild: Candidate[];
}
type RuleIndex = ReadonlyMap<string, Place>;

interface RuleIndexInput {
  readonly rules: readonly Resource[];
  /** MeshConfig.defaultDestinationRuleExportTo. */
  readonly meshExportTo: readonly string[] | undefined;
  readonly domainSuffix: string;
}

const ruleIndex = generator<RuleIndexInput, RuleIndex>(
  { rules: true, meshExportTo: true, domainSuffix: true },
  ({ rules, meshExportTo, domainSuffix }) => {
    const index = new Map<string, Place>();
    for (const resource of rules) {
      const item = candidateOf(resource, domainSuffix, meshExportTo);
      let place = index.get(item.namespace);
      if (!place) index.set(item.namespace, (place = { exact: new Map(), wild: [] }));
      if (item.host.startsWith('*')) place.wild.push(item);
      else place.exact.set(item.host, [...(place.exact.get(item.host) ?? []), item]);
    }
    return index;
  },
);

function candidateOf(resource: Resource, domainSuffix: string, meshExportTo: readonly string[] | undefined): Candidate {
  const spec = specOf(resource);
  const namespace = namespaceOf(resource);
  const selector = fields(spec['workloadSelector'])['matchLabels'];
  return {
    host: resolveHost(text(spec['host']) ?? '', namespace, domainSuffix),
    namespace,
    exportTo: exportToOf(strings(spec['exportTo']), meshExportTo),
    selector: selector === undefined ? undefined : labelsOf(selector),
    resource,
  };
}

export interface RuleCaller {
  readonly namespace: string;
  readonly rootNamespace: string;
  /** The labels that selectors of rules name, as `labelsKey` writes them. */
  readonly labels: string;
}

/** The rules in force for a proxy: looked for in its namespace, then the service's, then the root namespace. */
export function destinationRules(
  rules: readonly Resource[],
  { domainSuffix, config }: Pick<MeshSettings, 'domainSuffix' | 'config'>,
  caller: RuleCaller,
): DestinationRules {
  const meshExportTo = config.defaultDestinationRuleExportTo;
  return rulesFor({ index: ruleIndex({ rules, meshExportTo, domainSuffix }), ...caller });
}

const rulesFor = generator<{ index: RuleIndex } & RuleCaller, DestinationRules>(
  { index: true, namespace: true, rootNamespace: true, labels: true },
  ({ index, namespace, rootNamespace, labels }) => {
    const own = { namespace, rootNamespace, labels: labelsFrom(labels) };
    const cache = new WeakMap<MeshService, { rule: DestinationRule | undefined }>();
    return {
      for(service) {
        let known = cache.get(service);
        if (!known) cache.set(service, (known = { rule: find(index, service, own) }));
        return known.rule;
      },
    };
  },
);

function find(
  index: RuleIndex,
  service: MeshService,
  own: { namespace: string; rootNamespace: string; labels: Record<string, string> },
): DestinationRule | undefined {
  // A gateway belongs to everyone: rules beside it must not speak for other namespaces' services.
  const places = [own.namespace, service.namespace, own.rootNamespace];
  for (const [order, name] of places.entries()) {
    if (order === 0 && own.namespace === own.rootNamespace) continue;
    const place = index.get(name);
    if (!place) continue;
    const covering = [
      ...(place.exact.get(service.hostname) ?? []),
      ...place.wild.filter((item) => hostCovers(item.host, service.hostname)),
    ];
    const here = covering.filter(
      (item) =>
        (order === 0 || exportedTo(item.exportTo, item.namespace, own.namespace)) &&
        (item.selector === undefined || (item.namespace === own.namespace && selects(item.selector, own.labels))),
    );
    if (here.length > 0) return mergeOf(here);
  }
  return undefined;
}

/** The most specific host has it; rules with a selector come before those without. */
function mergeOf(found: readonly Candidate[]): DestinationRule | undefined {
  const selected = found.filter((item) => item.selector !== undefined);
  const pool = selected.length > 0 ? selected : found;
  const host = [...pool].sort((a, b) => moreSpecific(a.host, b.host))[0]?.host;
  const same = pool.filter((item) => item.host === host).map((item) => item.resource);
  return merge({ rules: sharedList(same) });
}

const merge = generator<{ rules: readonly Resource[] }, DestinationRule | undefined>({ rules: true }, ({ rules }) => {
  const [first] = rules;
  if (!first) return undefined;
  const subsets = new Map<string, Subset>();
  for (const rule of rules)
    for (const subset of objects(specOf(rule)['subsets'])) {
      const name = text(subset['name']);
      if (name && !subsets.has(name)) subsets.set(name, subsetOf(name, subset));
    }
  const policy = rules.map((rule) => specOf(rule)['trafficPolicy']).find((item) => item !== undefined);
  return {
    name: first.metadata.name,
    namespace: namespaceOf(first),
    trafficPolicy: policy === undefined ? undefined : fields(policy),
    subsets: [...subsets.values()],
  };
});

function subsetOf(name: string, subset: Fields): Subset {
  const policy = subset['trafficPolicy'];
  return {
    name,
    labels: labelsOf(subset['labels']),
    trafficPolicy: policy === undefined ? undefined : fields(policy),
  };
}

const NO_LABELS: Readonly<Record<string, string>> = {};

/** The labels of the endpoints of a subset; without one, of all. */
export function selectedLabels(subset: Subset | undefined): Readonly<Record<string, string>> {
  return subset?.labels ?? NO_LABELS;
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
