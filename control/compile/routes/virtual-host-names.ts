/** Names of a layer of separate virtual hosts: what the host index, and what a node is given unasked, are made of. */
import type { IndexedVirtualHost } from '../../../shared/xds/indexed-host.ts';
import type { VirtualHost } from '../../../shared/xds/route.ts';
import type { Layer } from '../output/resource-set.ts';

export type VirtualHostNames = readonly IndexedVirtualHost[];

const known = new WeakMap<Layer, VirtualHostNames>();

/** Names and domains of the virtual hosts of a layer; the same list where `keepNames` said so. */
export function namesOf(layer: Layer): VirtualHostNames {
  let names = known.get(layer);
  if (!names) {
    names = [...layer.values()].map(({ name, resource }) => ({ name, domains: (resource as VirtualHost).domains }));
    known.set(layer, names);
  }
  return names;
}

/** Virtual hosts of `layer` have the names and domains of those of `before`. */
export function keepNames(before: Layer, layer: Layer): void {
  known.set(layer, namesOf(before));
}

/** The host of a separate virtual host, `<configuration>/<host>:<port>`; undefined for those that catch everything else. */
export function hostOf(virtualHost: string): string | undefined {
  const name = virtualHost.slice(virtualHost.lastIndexOf('/') + 1);
  const colon = name.lastIndexOf(':');
  return colon < 0 ? undefined : name.slice(0, colon);
}
