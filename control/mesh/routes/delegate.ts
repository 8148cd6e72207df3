/**
 * VirtualServices that delegate (istio.io/latest/docs/reference/config/networking/virtual-service, Delegate): the rules of
 * the delegate replace the delegating rule, each narrowed by its matches. As istiod's model/virtualservice.go.
 */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { HttpMatchRequest, HttpRoute, StringMatch } from '../../../shared/resources/schema/virtual-service.ts';
import { exportedTo, exportToOf } from '../export-to.ts';
import { namespaceOf } from '../fields.ts';
import { httpRuleInFull } from './full-names.ts';

type VirtualService = ResourceOfKind<'VirtualService'>;

export interface Delegates {
  /** The VirtualService without hosts of that `namespace/name`. */
  find(key: string): VirtualService | undefined;
  readonly domainSuffix: string;
  /** MeshConfig.defaultVirtualServiceExportTo. */
  readonly meshExportTo?: readonly string[] | undefined;
  /** Takes which field has no effect, and why. */
  note(message: string): void;
}

/** `namespace/name` of the VirtualServices that `root` delegates to. */
export function delegateKeys(root: VirtualService): readonly string[] {
  const rules = root.spec?.http ?? [];
  return [...new Set(rules.flatMap(({ delegate }) => (delegate ? [delegateKey(root, delegate)] : [])))];
}

function delegateKey(root: VirtualService, { name, namespace }: NonNullable<HttpRoute['delegate']>): string {
  return `${namespace || namespaceOf(root)}/${name ?? ''}`;
}

/**
 * The http rules of a VirtualService with those of its delegates, and with full names. A rule that still has a `delegate`
 * is one of a delegate that delegates further, which Istio does not allow.
 */
export function rulesWithDelegates(root: VirtualService, delegates: Delegates): HttpRoute[] {
  const scope = { namespace: namespaceOf(root), domainSuffix: delegates.domainSuffix };
  return (root.spec?.http ?? []).flatMap((rule, i) => {
    const own = httpRuleInFull(rule, scope);
    return rule.delegate ? delegated(root, own, rule.delegate, i, delegates) : [own];
  });
}

/** The rules that replace `rule`; none where the delegate is missing or not exported to the root's namespace. */
function delegated(
  root: VirtualService,
  rule: HttpRoute,
  delegate: NonNullable<HttpRoute['delegate']>,
  index: number,
  { find, domainSuffix, meshExportTo, note }: Delegates,
): HttpRoute[] {
  const own = namespaceOf(root);
  const at = `spec.http[${index}]`;
  const key = delegateKey(root, delegate);
  const found = find(key);
  if (!found) {
    note(`${at}.delegate: there is no VirtualService ${key} without hosts: the rule has no effect`);
    return [];
  }
  const from = namespaceOf(found);
  if (!exportedTo(exportToOf(found.spec?.exportTo ?? [], meshExportTo), from, own)) {
    note(`${at}.delegate: VirtualService ${key} is not exported to namespace ${own}: the rule has no effect`);
    return [];
  }
  return (found.spec?.http ?? []).flatMap((each, i) => {
    const merged = mergeRule(rule, httpRuleInFull(each, { namespace: from, domainSuffix }));
    if (!merged) note(`${at}: no request can match it and spec.http[${i}] of its delegate ${key}: left out`);
    return merged ?? [];
  });
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
