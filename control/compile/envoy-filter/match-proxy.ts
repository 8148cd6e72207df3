/** Which EnvoyFilters a proxy has, and which of their patches: namespace, selector, version and metadata. */
import { compileRegex } from '../../../shared/match/regex.ts';
import { namespaceOf, selects, specOf } from '../../mesh/fields.ts';
import { byAge } from '../../mesh/order.ts';
import { generator, sharedList } from '../memo.ts';
import type { LocalWorkload } from '../scope/workloads.ts';
import { targetedOf } from '../security/authorization.ts';
import { judgeTargets } from '../security/authorization-targets.ts';
import { type ConfigPatch, type EnvoyFilter, readFilter } from './config-patch.ts';

export interface PatchedProxy {
  readonly namespace: string;
  readonly workloads: readonly LocalWorkload[];
  /** ISTIO_VERSION of its metadata; '' unknown. */
  readonly istioVersion: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** It is one of Tulle's own. */
  readonly choosesAlpn: boolean;
}

interface Near {
  readonly all: readonly EnvoyFilter[];
  readonly namespace: string;
  readonly rootNamespace: string;
}

/**
 * Those that proxies of a namespace may have, in the order in which they apply: of the root namespace first, then by priority, low
 * first, by age and by name (envoyfilter.go of Istio). The same list as long as none of them changes.
 */
export const filtersNear = generator<Near, readonly EnvoyFilter[]>(
  { all: true, namespace: true, rootNamespace: true },
  ({ all, namespace, rootNamespace }) => {
    const rank = (filter: EnvoyFilter) => [rootNamespace, namespace].indexOf(namespaceOf(filter));
    const near = all.filter((filter) => rank(filter) >= 0);
    return sharedList(near.sort((a, b) => rank(a) - rank(b) || priorityOf(a) - priorityOf(b) || byAge(a, b)));
  },
);

const priorityOf = (filter: EnvoyFilter): number => specOf(filter).priority ?? 0;

/** Whether the filter selects one of the proxy's workloads. A target that cannot be judged selects none: `noteTargets` reports it. */
export function selectsWorkload(
  filter: EnvoyFilter,
  workloads: readonly LocalWorkload[],
  rootNamespace: string,
): boolean {
  const { workloadSelector, targetRefs = [] } = specOf(filter);
  const labels = workloadSelector?.labels;
  return workloads.some((workload) =>
    targetRefs.length > 0
      ? judgeTargets(targetRefs, filter, targetedOf(workload), rootNamespace) === 'applies'
      : labels === undefined || selects(labels, workload.labels),
  );
}

/** The patches of a filter that the proxy's version and metadata admit. */
export function patchesFor(
  filter: EnvoyFilter,
  proxy: Pick<PatchedProxy, 'istioVersion' | 'metadata'>,
): readonly ConfigPatch[] {
  return readFilter(filter).patches.filter(({ match }) => admits(match.proxy ?? {}, proxy));
}

/** Longer expressions are ignored, as the schema's rules say. */
const MAX_VERSION_LENGTH = 1024;

function admits(
  { proxyVersion, metadata = {} }: NonNullable<ConfigPatch['match']['proxy']>,
  proxy: Pick<PatchedProxy, 'istioVersion' | 'metadata'>,
): boolean {
  if (proxyVersion && proxyVersion.length <= MAX_VERSION_LENGTH) {
    // A proxy of no known version is of none that is asked for.
    if (proxy.istioVersion === '' || !versionMatcher({ proxyVersion })(proxy.istioVersion)) return false;
  }
  return Object.entries(metadata).every(([key, value]) => proxy.metadata[key] === value);
}

const versionMatcher = generator<{ proxyVersion: string }, (version: string) => boolean>(
  { proxyVersion: true },
  ({ proxyVersion }) => {
    const regex = compileRegex(proxyVersion);
    return (version) => regex.find(version) !== undefined;
  },
);
