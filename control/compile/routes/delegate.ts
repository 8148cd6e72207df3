/**
 * VirtualServices that delegate (istio.io/latest/docs/reference/config/networking/virtual-service, Delegate): the rules of
 * the delegate stand where the delegating rule stood, each narrowed by its matches. As istiod's model/virtualservice.go.
 */
import type { Resource } from '../../../shared/resources/resource.ts';
import { exportedTo, exportToOf } from '../../mesh/export-to.ts';
import { namespaceOf, specOf, strings } from '../../mesh/fields.ts';
import { generator, sharedList } from '../memo.ts';
import { resolveHost } from '../names.ts';
import { resolveGatewayName } from './virtual-service-match.ts';
import type {
  Destination,
  HttpMatchRequest,
  HttpRoute,
  StringMatch,
  VirtualServiceSpec,
} from './virtual-service-spec.ts';

export interface Delegates {
  /** Every VirtualService of the mesh; those without hosts can be delegated to. */
  all: readonly Resource[];
  domainSuffix: string;
  /** MeshConfig.defaultVirtualServiceExportTo. */
  exportTo?: readonly string[] | undefined;
  /** Says which rule has no effect, and why. */
  note: (message: string) => void;
}

export interface Merged {
  readonly list: readonly Resource[];
  readonly notes: readonly string[];
}

interface MergedInput {
  readonly domainSuffix: string;
  /** MeshConfig.defaultVirtualServiceExportTo. */
  readonly exportTo: readonly string[] | undefined;
}

/** `visible` with the rules of their delegates among `all`; the same objects where neither they nor their delegates changed. */
export const mergedVirtualServices = generator<
  MergedInput & { visible: readonly Resource[]; all: readonly Resource[] },
  Merged
>({ all: true, visible: true, exportTo: true, domainSuffix: true }, ({ visible, all, exportTo, domainSuffix }) => {
  const notes: string[] = [];
  const list = visible.map((root) => {
    const named = delegateNames(root);
    if (named.size === 0) return root;
    const candidates = all.filter((vs) => named.has(`${namespaceOf(vs)}/${vs.metadata.name}`));
    const merged = mergedWith({ root, candidates: sharedList(candidates), exportTo, domainSuffix });
    notes.push(...merged.notes);
    return merged.resource;
  });
  return { list: sharedList(list), notes };
});

const mergedWith = generator<
  MergedInput & { root: Resource; candidates: readonly Resource[] },
  { resource: Resource; notes: readonly string[] }
>(
  { root: true, candidates: true, exportTo: true, domainSuffix: true },
  ({ root, candidates, exportTo, domainSuffix }) => {
    const notes: string[] = [];
    const resource = withDelegates(root, {
      all: candidates,
      domainSuffix,
      exportTo,
      note: (message) => notes.push(message),
    });
    return { resource, notes };
  },
);

/** `namespace/name` of the VirtualServices that `root` delegates to. */
function delegateNames(root: Resource): Set<string> {
  const own = namespaceOf(root);
  const rules = (specOf(root) as VirtualServiceSpec).http ?? [];
  return new Set(
    rules.flatMap(({ delegate }) => (delegate ? [`${delegate.namespace || own}/${delegate.name ?? ''}`] : [])),
  );
}

/** The VirtualService with the rules it delegates merged in; itself where it delegates none. */
export function withDelegates(root: Resource, delegates: Delegates): Resource {
  const spec = specOf(root) as VirtualServiceSpec;
  if (!spec.http?.some((rule) => rule.delegate)) return root;
  const http = spec.http.flatMap((rule, i) => (rule.delegate ? delegated(root, rule, i, delegates) : [rule]));
  return { ...root, spec: { ...spec, http } };
}

/** The rules that come in the place of `rule`; none where the delegate is missing or not exported to the root's namespace. */
function delegated(
  root: Resource,
  rule: HttpRoute,
  index: number,
  { all, domainSuffix, exportTo, note }: Delegates,
): HttpRoute[] {
  const own = namespaceOf(root);
  const { name = '', namespace = own } = rule.delegate ?? {};
  const at = `VirtualService ${own}/${root.metadata.name}: spec.http[${index}]`;
  const found = all.find(
    (vs) =>
      vs.metadata.name === name && namespaceOf(vs) === (namespace || own) && strings(specOf(vs)['hosts']).length === 0,
  );
  if (!found) {
    note(
      `${at}.delegate: there is no VirtualService ${namespace || own}/${name} without hosts: the rule has no effect`,
    );
    return [];
  }
  const from = namespaceOf(found);
  if (!exportedTo(exportToOf(strings(specOf(found)['exportTo']), exportTo), from, own)) {
    note(`${at}.delegate: VirtualService ${from}/${name} is not exported to namespace ${own}: the rule has no effect`);
    return [];
  }
  const rules = ((specOf(found) as VirtualServiceSpec).http ?? []).map((each) => resolved(each, from, domainSuffix));
  return rules.flatMap((each, i) => {
    const merged = mergeRule(resolved(rule, own, domainSuffix), each);
    if (!merged) note(`${at}: no request can match it and spec.http[${i}] of its delegate ${from}/${name}: left out`);
    return merged ?? [];
  });
}

/** Short names mean something in their own namespace only. */
function resolved(rule: HttpRoute, namespace: string, domainSuffix: string): HttpRoute {
  const destination = <D extends Destination>(to: D): D => ({
    ...to,
    host: resolveHost(to.host, namespace, domainSuffix),
  });
  return {
    ...rule,
    ...(rule.route && { route: rule.route.map((to) => ({ ...to, destination: destination(to.destination) })) }),
    ...(rule.mirror && { mirror: destination(rule.mirror) }),
    ...(rule.mirrors && {
      mirrors: rule.mirrors.map((mirror) => ({ ...mirror, destination: destination(mirror.destination) })),
    }),
    ...(rule.match && {
      match: rule.match.map((match) => ({
        ...match,
        ...(match.gateways && { gateways: match.gateways.map((gateway) => resolveGatewayName(gateway, namespace)) }),
      })),
    }),
  };
}

/** The root's fields apply unless the delegate overrides them. */
const INHERITED = [
  'rewrite',
  'directResponse',
  'timeout',
  'retries',
  'fault',
  'mirror',
  'mirrorPercent',
  'mirror_percent',
  'mirrorPercentage',
  'mirrors',
  'corsPolicy',
  'headers',
] as const satisfies readonly (keyof HttpRoute)[];

/** Undefined: no request could match both. */
export function mergeRule(root: HttpRoute, leaf: HttpRoute): HttpRoute | undefined {
  const match = mergeMatches(root.match ?? [], leaf.match ?? []);
  if (!match) return undefined;
  const { match: _, ...rest } = leaf;
  const inherited = INHERITED.filter((field) => leaf[field] === undefined && root[field] !== undefined);
  const name = joinedName(root.name, leaf.name);
  return {
    ...rest,
    ...Object.fromEntries(inherited.map((field) => [field, root[field]])),
    ...(name && { name }),
    ...(match.length > 0 && { match }),
  };
}

const joinedName = (root: string | undefined, leaf: string | undefined): string | undefined =>
  root && leaf ? `${root}-${leaf}` : leaf || root;

/** Each match of the delegate must lie within one of the root's. Undefined: one of them lies in none. */
function mergeMatches(root: HttpMatchRequest[], leaf: HttpMatchRequest[]): HttpMatchRequest[] | undefined {
  if (root.length === 0) return leaf;
  if (leaf.length === 0) return root;
  const out: HttpMatchRequest[] = [];
  for (const each of leaf) {
    const within = root.filter((outer) => !conflicts(outer, each));
    if (within.length === 0) return undefined;
    out.push(...within.map((outer) => mergeMatch(outer, each)));
  }
  return out;
}

function mergeMatch(root: HttpMatchRequest, leaf: HttpMatchRequest): HttpMatchRequest {
  const name = joinedName(root.name, leaf.name);
  const maps = (['headers', 'withoutHeaders', 'queryParams', 'sourceLabels'] as const)
    .filter((field) => root[field] || leaf[field])
    .map((field) => [field, { ...root[field], ...leaf[field] }]);
  const gateways = leaf.gateways?.length ? leaf.gateways : root.gateways;
  return {
    ...root,
    ...leaf,
    ...Object.fromEntries(maps),
    ...(root.port && !leaf.port && { port: root.port }),
    ...(gateways && { gateways }),
    ...(name && { name }),
  };
}

function conflicts(root: HttpMatchRequest, leaf: HttpMatchRequest): boolean {
  for (const field of ['uri', 'scheme', 'method', 'authority'] as const)
    if (outside(root[field], leaf[field])) return true;
  for (const field of ['headers', 'withoutHeaders', 'queryParams'] as const)
    for (const [name, value] of Object.entries(leaf[field] ?? {})) if (outside(root[field]?.[name], value)) return true;
  for (const [name, value] of Object.entries(leaf.sourceLabels ?? {}))
    if ((root.sourceLabels?.[name] ?? value) !== value) return true;
  const differ = (a: unknown, b: unknown) => Boolean(a) && Boolean(b) && a !== b;
  if (differ(root.port, leaf.port) || differ(root.sourceNamespace, leaf.sourceNamespace)) return true;
  if (Boolean(root.ignoreUriCase) !== Boolean(leaf.ignoreUriCase)) return true;
  const gateways = root.gateways ?? [];
  return gateways.length > 0 && (leaf.gateways ?? []).some((gateway) => !gateways.includes(gateway));
}

/** Whether `leaf` takes what `root` does not. For regular expressions and presence matches this is undecidable: they conflict. */
function outside(root: StringMatch | undefined, leaf: StringMatch | undefined): boolean {
  if (!root || !leaf) return false;
  if (root.exact) return leaf.exact !== root.exact;
  const start = leaf.prefix || leaf.exact;
  return !root.prefix || !start?.startsWith(root.prefix);
}
