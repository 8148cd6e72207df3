/** DestinationRule: which one applies to a service for this proxy, its subsets, and traffic policies merged by level. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { TrafficPolicy, Subset as WrittenSubset } from '../../../shared/resources/schema/destination-rule.ts';
import { exportedTo, exportToOf } from '../../mesh/export-to.ts';
import { namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import { resolveHost } from '../../mesh/routes/names.ts';
import type { MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { generator, labelsFrom, sharedList } from '../memo.ts';
import { hostCovers, moreSpecific } from '../names.ts';

type Written = ResourceOfKind<'DestinationRule'>;

export interface Subset {
  name: string;
  labels: Record<string, string>;
  trafficPolicy: TrafficPolicy | undefined;
  /** The resource that has the subset. */
  resource: Written;
}
/** The rule in force for one service; several resources for one host in one namespace are merged. */
export interface DestinationRule {
  name: string;
  namespace: string;
  trafficPolicy: TrafficPolicy | undefined;
  /** The resource that has the traffic policy, or is the first. */
  resource: Written;
  subsets: Subset[];
  /** Its workloadSelector picked the proxy: of sidecars these alone may read the credentials that it names. */
  selected: boolean;
}
export interface DestinationRules {
  for(service: MeshService): DestinationRule | undefined;
  /** One whose workloadSelector picks the proxy names a credential. */
  readonly nameCredentials: boolean;
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
  namesCredential: boolean;
  resource: Written;
}

/** The rules of one namespace: by exact host, and those with a wildcard. */
interface Place {
  exact: Map<string, Candidate[]>;
  wild: Candidate[];
}
type RuleIndex = ReadonlyMap<string, Place>;

interface RuleIndexInput {
  readonly rules: readonly Written[];
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

function candidateOf(resource: Written, domainSuffix: string, meshExportTo: readonly string[] | undefined): Candidate {
  const { host = '', exportTo = [], workloadSelector, trafficPolicy: policy, subsets = [] } = specOf(resource);
  const policies = [policy, ...subsets.map((subset) => subset.trafficPolicy)];
  const levels = policies.flatMap((each) => [each, ...(each?.portLevelSettings ?? [])]);
  const namespace = namespaceOf(resource);
  return {
    host: resolveHost(host, namespace, domainSuffix),
    namespace,
    exportTo: exportToOf(exportTo, meshExportTo),
    selector: workloadSelector?.matchLabels,
    namesCredential: levels.some((level) => Boolean(level?.tls?.credentialName)),
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
  rules: readonly Written[],
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
      nameCredentials: namesCredentials(index.get(namespace), own.labels),
      for(service) {
        let known = cache.get(service);
        if (!known) cache.set(service, (known = { rule: find(index, service, own) }));
        return known.rule;
      },
    };
  },
);

function namesCredentials(place: Place | undefined, labels: Record<string, string>): boolean {
  const all = place ? [...place.wild, ...[...place.exact.values()].flat()] : [];
  return all.some(({ selector, namesCredential }) => namesCredential && selector && selects(selector, labels));
}

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
  return merge({ rules: sharedList(same), selected: selected.length > 0 });
}

interface MergeInput {
  readonly rules: readonly Written[];
  readonly selected: boolean;
}

const merge = generator<MergeInput, DestinationRule | undefined>({ rules: true, selected: true }, (input) => {
  const { rules, selected } = input;
  const [first] = rules;
  if (!first) return undefined;
  const subsets = new Map<string, Subset>();
  for (const rule of rules)
    for (const subset of specOf(rule).subsets ?? [])
      if (subset.name && !subsets.has(subset.name)) subsets.set(subset.name, subsetOf(subset, rule));
  const resource = rules.find((rule) => specOf(rule).trafficPolicy !== undefined) ?? first;
  return {
    name: first.metadata.name,
    namespace: namespaceOf(first),
    trafficPolicy: specOf(resource).trafficPolicy,
    resource,
    subsets: [...subsets.values()],
    selected,
  };
});

function subsetOf({ name, labels = {}, trafficPolicy: policy }: WrittenSubset, resource: Written): Subset {
  return { name, labels, trafficPolicy: policy, resource };
}

const NO_LABELS: Readonly<Record<string, string>> = {};

/** The labels of the endpoints of a subset; without one, of all. */
export function selectedLabels(subset: Subset | undefined): Readonly<Record<string, string>> {
  return subset?.labels ?? NO_LABELS;
}

/** What a port may have of its own. */
const OF_PORTS = ['connectionPool', 'outlierDetection', 'loadBalancer', 'tls'] as const;
/** What a destination or a subset alone has. */
const OF_DESTINATIONS = ['proxyProtocol', 'retryBudget'] as const;

/**
 * `policy` as it holds at `port`: its settings for the port, if it has any, replace it whole. As documented, what they leave
 * out has its default; that includes, as in istiod, what a port cannot set.
 */
function atPort(
  { portLevelSettings = [], ...rest }: TrafficPolicy,
  { number }: ServicePort,
): { readonly policy: TrafficPolicy; readonly ofPort: boolean } {
  const level = portLevelSettings.find((item) => item.port?.number === number);
  if (!level) return { policy: rest, ofPort: false };
  const { port: _, ...policy } = level;
  return { policy, ofPort: true };
}

/**
 * The policy of a service port, or of a subset at that port (MergeSubsetTrafficPolicy of Istio): the subset's fields replace
 * the service's, its settings for the port replace all that a port may have. A tunnel is the destination's, whatever its port.
 */
export function trafficPolicy(
  rule: Pick<DestinationRule, 'trafficPolicy'> | undefined,
  port: ServicePort,
  subset: Pick<Subset, 'trafficPolicy'> | undefined,
): TrafficPolicy {
  const { tunnel: ofRule, ...written } = rule?.trafficPolicy ?? {};
  const { tunnel = ofRule, ...ofSubset } = subset?.trafficPolicy ?? {};
  const { policy: base } = atPort(written, port);
  const { policy: own, ofPort } = atPort(ofSubset, port);
  const merged: TrafficPolicy = { ...(tunnel && { tunnel }) };
  const take = <K extends keyof TrafficPolicy>(field: K, inherits: boolean) => {
    const value = own[field] ?? (inherits ? base[field] : undefined);
    if (value !== undefined) merged[field] = value;
  };
  for (const field of OF_PORTS) take(field, !ofPort);
  for (const field of OF_DESTINATIONS) take(field, true);
  return merged;
}
