/** Resources that patches add to those that are made. */
import type { ResourceType } from '../../../shared/xds/discovery.ts';
import type { Finding } from '../output/finding.ts';
import type { Origin } from '../output/produced.ts';
import { layerOf } from '../output/resource-set.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';
import type { Added, Patch } from '../patches/patch.ts';
import type { AllLayers } from './derived-types.ts';
import type { Place } from './place.ts';

interface Additions {
  readonly layers: AllLayers;
  readonly findings: readonly Finding[];
}

/** A resource is added once, at the first side of the proxy that the patch is for; a name that is taken stays what it is. */
export function additionsOf({ patches, proxy }: Pick<Place, 'patches' | 'proxy'>, layers: AllLayers): Additions {
  const added: Partial<Record<ResourceType, SharedResource[]>> = {};
  const findings: Finding[] = [];
  for (const patch of patches)
    for (const one of addedBy(patch, proxy.type)) {
      const resource = shared(one.type, one.resource);
      const others = (added[one.type] ??= []);
      const isTaken = [...layers[one.type], layerOf(others)].some((layer) => layer.has(resource.name));
      const problem = one.problem ?? (isTaken ? `the proxy has one of the name "${resource.name}"` : undefined);
      if (problem === undefined) others.push(resource);
      else findings.push(findingOf(patch, one, problem));
    }
  const entries = Object.entries(added).filter(([, resources]) => resources.length > 0) as [
    ResourceType,
    SharedResource[],
  ][];
  if (entries.length === 0) return { layers, findings };
  // In front: the last layer of a type is the largest, and is replaced by itself.
  const own = Object.fromEntries(entries.map(([type, resources]) => [type, [layerOf(resources), ...layers[type]]]));
  return { layers: { ...layers, ...own }, findings };
}

function addedBy({ adds = [] }: Patch, type: string): readonly Added[] {
  const sides: readonly Origin['side'][] = type === 'router' ? ['gateway'] : ['inbound', 'outbound'];
  const here = adds.filter(({ side }) => sides.includes(side));
  return here.filter(({ type: own }, i) => here.findIndex((other) => other.type === own) === i);
}

function findingOf({ owner }: Patch, { path }: Added, problem: string): Finding {
  return { about: owner, reason: 'PatchLeftOut', message: `${path}.patch.value: ${problem}: it is not added` };
}
