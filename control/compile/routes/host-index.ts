/** The host index: which hosts a class of proxies may call, for proxies that fetch them on demand. */
import type { IndexedHost, IndexedVirtualHost } from '../../../shared/xds/indexed-host.ts';
import type { MeshService, MeshSettings } from '../../mesh/view.ts';
import { generator, sharedList, slicedGenerator } from '../memo.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';
import type { Services } from '../scope/scope.ts';
import { hostOf, type VirtualHostNames } from './virtual-host-names.ts';

export interface HostIndexInput {
  /** Of the separate virtual hosts of outbound route configurations. */
  readonly names: VirtualHostNames;
  readonly services: Services;
  readonly settings: MeshSettings;
}

/** An entry for each service, and for each host that only VirtualServices name. The same layer for the same entries. */
export const hostIndex = slicedGenerator<HostIndexInput, Layer>(
  { names: true, services: true, settings: true },
  function* ({ names, services, settings }) {
    const byHost = new Map<string, IndexedVirtualHost[]>(services.list.map(({ hostname }) => [hostname, []]));
    for (const item of names) {
      const host = hostOf(item.name);
      if (host === undefined) continue;
      const others = byHost.get(host);
      if (others) others.push(item);
      else byHost.set(host, [item]);
    }
    yield;
    const entries: SharedResource[] = [];
    for (const [host, items] of byHost) {
      const one = entry({ owner: services.byHost.get(host) ?? settings, host, virtualHosts: JSON.stringify(items) });
      one.makeVersion();
      entries.push(one);
      yield;
    }
    return indexLayer({ entries: sharedList(entries) });
  },
);

const indexLayer = generator<{ entries: readonly SharedResource[] }, Layer>({ entries: true }, ({ entries }) =>
  layerOf(entries),
);

const entry = generator<
  {
    /** The service; the settings where the host has none. */
    owner: MeshService | MeshSettings;
    host: string;
    virtualHosts: string;
  },
  SharedResource
>({ owner: true, host: true, virtualHosts: true }, ({ owner, host, virtualHosts }) => {
  const { ports = [], addresses: own = [], autoAddresses = [] }: Partial<MeshService> = 'ports' in owner ? owner : {};
  const addresses = own.length > 0 ? own : autoAddresses;
  const resource: IndexedHost = {
    name: host,
    ports: ports.map(({ number, protocol }) => ({ number, protocol })),
    addresses: [...addresses],
    virtualHosts: JSON.parse(virtualHosts) as IndexedVirtualHost[],
  };
  return shared('hosts', resource);
});
