/** WasmPlugin and TrafficExtension in one form: what extends the traffic of which workloads, and where in their filters. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { PolicyTargetReference, TrafficSelector } from '../../../shared/resources/schema/common.ts';
import type { Wasm } from '../../../shared/resources/schema/traffic-extension.ts';
import { namespaceOf, specOf } from '../../mesh/fields.ts';
import { compare } from '../../mesh/sorted-list.ts';
import { generator, sharedList } from '../memo.ts';
import type { FilterPlace } from '../sidecar/filter-places.ts';

type WasmPlugin = ResourceOfKind<'WasmPlugin'>;
type TrafficExtension = ResourceOfKind<'TrafficExtension'>;

export type Phase = Extract<FilterPlace, 'AUTHN' | 'AUTHZ' | 'STATS' | 'UNSPECIFIED_PHASE'>;

export interface Plugin {
  readonly resource: WasmPlugin | TrafficExtension;
  /** Of its filter, as Istio's control plane has it. */
  readonly filterName: string;
  readonly phase: Phase;
  readonly match: readonly TrafficSelector[];
  /** undefined: no selector. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly targets: readonly PolicyTargetReference[];
  readonly wasm: Wasm;
}

/** Prefixes of Istio's names; the first has its spelling. */
const PREFIX = {
  WasmPlugin: 'extenstions.istio.io/wasmplugin/',
  TrafficExtension: 'extensions.istio.io/trafficextension/',
};

interface PluginResources {
  readonly plugins: readonly WasmPlugin[];
  readonly extensions: readonly TrafficExtension[];
  readonly namespace: string;
  readonly rootNamespace: string;
}

/**
 * Those that a namespace's workloads may have, in the order in which requests pass them within a phase: by priority, high
 * first and none last; of equal ones those of the namespace precede those of the root namespace, older ones younger ones
 * (WasmPluginsByListenerInfo of Istio). The same list as long as none of them changes.
 */
export const pluginsOf = generator<PluginResources, readonly Plugin[]>(
  { plugins: true, extensions: true, namespace: true, rootNamespace: true },
  ({ plugins, extensions, namespace, rootNamespace }) => {
    const all = [...plugins.map(fromWasmPlugin), ...extensions.flatMap(fromTrafficExtension)];
    const rank = (plugin: Plugin) => [namespace, rootNamespace].indexOf(namespaceOf(plugin.resource));
    const near = all.filter((plugin) => rank(plugin) >= 0);
    return sharedList(near.sort((a, b) => priorityOf(b) - priorityOf(a) || rank(a) - rank(b) || byAge(a, b)));
  },
);

const priorityOf = ({ resource }: Plugin): number => specOf(resource).priority ?? Number.MIN_SAFE_INTEGER;

function byAge({ resource: { metadata: a } }: Plugin, { resource: { metadata: b } }: Plugin): number {
  return compare(a.creationTimestamp ?? '', b.creationTimestamp ?? '') || compare(a.name, b.name);
}

const fromWasmPlugin = madeOnce((resource: WasmPlugin): Plugin => {
  const { targetRef, targetRefs = [], phase, match = [], selector, priority: _, ...wasm } = specOf(resource);
  return {
    resource,
    filterName: `${PREFIX.WasmPlugin}${namespaceOf(resource)}.${resource.metadata.name}`,
    phase: phase ?? 'UNSPECIFIED_PHASE',
    match,
    labels: selector?.matchLabels,
    targets: targetRef ? [targetRef] : targetRefs,
    wasm: wasm as Wasm,
  };
});

/** A Lua script is no plugin of this form: it is reported (effects). */
const fromTrafficExtension = madeOnce((resource: TrafficExtension): readonly Plugin[] => {
  const { wasm, phase = 'UNSPECIFIED', match = [], selector, targetRefs = [] } = specOf(resource);
  if (!wasm) return [];
  return [
    {
      resource,
      filterName: `${PREFIX.TrafficExtension}${namespaceOf(resource)}.${resource.metadata.name}`,
      phase: phase === 'UNSPECIFIED' ? 'UNSPECIFIED_PHASE' : phase,
      match,
      labels: selector?.matchLabels,
      targets: targetRefs,
      wasm,
    },
  ];
});

/** The same plugin for the same resource, from one view to the next. */
function madeOnce<R extends object, Made>(make: (resource: R) => Made): (resource: R) => Made {
  const made = generator<{ resource: R }, Made>({ resource: true } as never, ({ resource }) => make(resource));
  return (resource) => made({ resource });
}
