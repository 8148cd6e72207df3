/** Rules of roles: compiled to a check of attributes, and compared with each other. */
import { type Attributes, isResource, type ResourceAttributes } from '../attributes.ts';

/** As in Role and ClusterRole (https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/cluster-role-v1/). */
export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  /** Empty or absent: every name. */
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

export interface CompiledRule {
  readonly rule: PolicyRule;
  matches(attributes: Attributes): boolean;
}

export function compileRule(rule: PolicyRule): CompiledRule {
  const verb = setOrAll(rule.verbs);
  const group = setOrAll(rule.apiGroups);
  const resource = resourceCheck(rule.resources ?? []);
  const names = new Set(rule.resourceNames);
  const path = pathCheck(rule.nonResourceURLs ?? []);
  const matches = (attributes: Attributes): boolean => {
    if (!verb(attributes.verb)) return false;
    if (!isResource(attributes)) return path(attributes.path);
    return group(attributes.group) && resource(attributes) && (names.size === 0 || names.has(attributes.name));
  };
  return { rule, matches };
}

function setOrAll(values: readonly string[] = []): (value: string) => boolean {
  if (values.includes('*')) return () => true;
  const set = new Set(values);
  return (value) => set.has(value);
}

/** A resource, as `pods`; a subresource, as `pods/log`; that of every resource, as an asterisk before `/log`; or an asterisk for all. */
function resourceCheck(resources: readonly string[]): (attributes: ResourceAttributes) => boolean {
  if (resources.includes('*')) return () => true;
  const set = new Set(resources);
  return ({ resource, subresource }) =>
    subresource === '' ? set.has(resource) : set.has(`${resource}/${subresource}`) || set.has(`*/${subresource}`);
}

function pathCheck(patterns: readonly string[]): (path: string) => boolean {
  const exact = new Set(patterns);
  if (exact.has('*')) return () => true;
  const prefixes = patterns.filter((each) => each.endsWith('*')).map((each) => each.slice(0, -1));
  return (path) => exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix));
}

/** Comparisons of a permission with a rule in one call; beyond it a rule must be covered by one that is held. */
const MAX_COMPARISONS = 250_000;

/** @returns the rules of `wanted`, or the single permissions of them, that `held` does not grant */
export function notCovered(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  const own = held.map(heldRule);
  let left = MAX_COMPARISONS;
  const covers = (rule: PolicyRule): boolean => {
    left -= own.length;
    return left >= 0 && own.some((each) => coversRule(each, rule));
  };
  return wanted
    .filter((rule) => !covers(rule))
    .flatMap((rule) => {
      return permissionCount(rule) * Math.max(1, own.length) > left
        ? [rule]
        : permissionsOf(rule).filter((one) => !covers(one));
    });
}

interface HeldRule {
  readonly verbs: ReadonlySet<string>;
  readonly apiGroups: ReadonlySet<string>;
  readonly resources: ReadonlySet<string>;
  readonly resourceNames: ReadonlySet<string>;
  readonly nonResourceURLs: ReadonlySet<string>;
  /** What URLs that end with an asterisk begin with. */
  readonly prefixes: readonly string[];
}

function heldRule({ verbs, apiGroups, resources, resourceNames, nonResourceURLs = [] }: PolicyRule): HeldRule {
  return {
    verbs: new Set(verbs),
    apiGroups: new Set(apiGroups),
    resources: new Set(resources),
    resourceNames: new Set(resourceNames),
    nonResourceURLs: new Set(nonResourceURLs),
    prefixes: nonResourceURLs.filter((each) => each.endsWith('*')).map((each) => each.slice(0, -1)),
  };
}

function coversRule(held: HeldRule, wanted: PolicyRule): boolean {
  return (
    within(wanted.verbs, held.verbs) &&
    within(wanted.apiGroups, held.apiGroups) &&
    within(wanted.resources, held.resources, (resource) => {
      const slash = resource.indexOf('/');
      return slash >= 0 && held.resources.has(`*/${resource.slice(slash + 1)}`);
    }) &&
    namesWithin(wanted.resourceNames ?? [], held.resourceNames) &&
    within(wanted.nonResourceURLs, held.nonResourceURLs, (url) =>
      held.prefixes.some((prefix) => url.startsWith(prefix)),
    )
  );
}

function within(
  wanted: readonly string[] = [],
  held: ReadonlySet<string>,
  also: (value: string) => boolean = () => false,
): boolean {
  return held.has('*') || wanted.every((value) => held.has(value) || also(value));
}

/** No names are all names. */
const namesWithin = (wanted: readonly string[], held: ReadonlySet<string>) =>
  held.size === 0 || (wanted.length > 0 && within(wanted, held));

const permissionCount = ({
  verbs,
  apiGroups = [],
  resources = [],
  resourceNames = [],
  nonResourceURLs = [],
}: PolicyRule) =>
  verbs.length * (apiGroups.length * resources.length * Math.max(1, resourceNames.length) + nonResourceURLs.length);

function permissionsOf(rule: PolicyRule): PolicyRule[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  const names = resourceNames.length > 0 ? resourceNames.map((name) => [name]) : [[]];
  return verbs.flatMap((verb) => [
    ...nonResourceURLs.map((url) => ({ verbs: [verb], nonResourceURLs: [url] })),
    ...apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        names.map((name) => ({
          verbs: [verb],
          apiGroups: [group],
          resources: [resource],
          ...(name.length > 0 && { resourceNames: name }),
        })),
      ),
    ),
  ]);
}

/** As kube-apiserver writes a rule in refusals. */
export function showRule(rule: PolicyRule): string {
  const fields = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ] as const;
  const shown = fields.filter(([, values]) => values?.length);
  return `{${shown.map(([name, values]) => `${name}:[${values!.map((each) => JSON.stringify(each)).join(' ')}]`).join(', ')}}`;
}
