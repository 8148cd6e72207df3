/**
 * The host names that proxies with a DNS server answer, and their addresses, as istiod's name table has them
 * (pkg/dns/server/name_table.go). A host without any address is none of them: its name is left to other DNS servers.
 */

import type { DnsHost } from '../../../shared/dns/dns-host.ts';
import { isIpAddress } from '../../../shared/match/cidr.ts';
import type { MeshEndpoint, MeshService, MeshView } from '../../mesh/view.ts';
import { generator, sharedList, slicedGenerator } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { type Layer, layerOf } from '../output/resource-set.ts';
import { type SharedResource, shared } from '../output/shared-resource.ts';
import type { EgressScope, Services } from '../scope/scope.ts';
import { importedAliases } from '../scope/service-aliases.ts';

/** The hosts whose addresses change with the mesh's services alone, and the services whose endpoints are their addresses. */
interface FixedHosts {
  readonly layer: Layer;
  readonly headless: readonly MeshService[];
  /** `cluster.local` */
  readonly domainSuffix: string;
}

interface FixedInput {
  readonly services: Services;
  /** Their aliases are those that these groups take in. */
  readonly egress: readonly EgressScope[];
  /** `cluster.local` */
  readonly domainSuffix: string;
}

/** For all proxies that may call the same services. */
export const fixedDnsHosts = slicedGenerator<FixedInput, FixedHosts>(
  { services: true, egress: true, domainSuffix: true },
  function* ({ services, egress, domainSuffix }) {
    const imported = new Set(egress.flatMap((each) => each.services.list.flatMap(({ aliases = [] }) => aliases)));
    const resources: SharedResource[] = [];
    const headless: MeshService[] = [];
    for (const one of services.list) {
      const service = importedAliases(one, (_, alias) => imported.has(alias));
      if (isHeadless(service)) headless.push(service);
      else resources.push(...hostsOf({ service, domainSuffix }));
      yield;
    }
    return { layer: layerOf(resources), headless: sharedList(headless), domainSuffix };
  },
);

/** The headless services in `view`. The same layer for the same endpoints. */
export function* headlessDnsHosts(
  { headless, domainSuffix }: FixedHosts,
  view: Pick<MeshView, 'endpoints'>,
  network: string,
): Work<Layer> {
  const resources: SharedResource[] = [];
  for (const service of headless) {
    const endpoints = view.endpoints(service.whole ?? service);
    resources.push(...headlessHosts({ endpoints, service, network, domainSuffix }));
    yield;
  }
  return sharedLayer({ resources: sharedList(resources) });
}

const sharedLayer = generator<{ resources: readonly SharedResource[] }, Layer>({ resources: true }, ({ resources }) =>
  layerOf(resources),
);

/** Kubernetes' services without cluster IP, and hosts whose connections go to where they were meant to. */
function isHeadless(service: MeshService): boolean {
  if (service.addresses.length > 0) return false;
  return isKubernetesService(service) ? service.aliasOf === undefined : service.resolution === 'NONE';
}

const isKubernetesService = ({ resource }: MeshService): boolean => resource.kind === 'Service';

/** Its host is in the domain of its namespace, as Kubernetes' services are: it has short names there. */
function isInOwnDomain({ hostname, namespace }: MeshService, domainSuffix: string): boolean {
  const domain = `.${namespace}.svc.${domainSuffix}`;
  return hostname.endsWith(domain) && !hostname.startsWith('*') && hostname.length > domain.length;
}

const hostsOf = generator<{ service: MeshService; domainSuffix: string }, readonly SharedResource[]>(
  { service: true, domainSuffix: true },
  ({ service, domainSuffix }) => named(service, domainSuffix, service.addresses.filter(isIpAddress), []),
);

const headlessHosts = generator<
  { endpoints: readonly MeshEndpoint[]; service: MeshService; network: string; domainSuffix: string },
  readonly SharedResource[]
>(
  { endpoints: true, service: true, network: true, domainSuffix: true },
  ({ endpoints, service, network, domainSuffix }) => {
    // Each endpoint is listed for every port: once is enough.
    const port = service.ports[0]?.number;
    const reached = endpoints.filter(
      (endpoint) =>
        endpoint.servicePort === port &&
        endpoint.healthy &&
        isIpAddress(endpoint.address) &&
        (network === '' || endpoint.network === '' || endpoint.network === network),
    );
    const instances = new Map<string, string[]>();
    for (const { hostname, address } of reached)
      if (hostname !== undefined) instances.set(hostname, [...(instances.get(hostname) ?? []), address]);
    const addresses = [...new Set(reached.map(({ address }) => address))].sort();
    return named(
      service,
      domainSuffix,
      addresses,
      [...instances].map(([hostname, own]) => ({ hostname, addresses: own })),
    );
  },
);

/** The host and its aliases. */
function named(
  service: MeshService,
  domainSuffix: string,
  addresses: readonly string[],
  instances: NonNullable<DnsHost['instances']>,
): readonly SharedResource[] {
  if (addresses.length === 0) return [];
  const ports = service.ports.map(({ number, name, protocol }) => ({
    number,
    name,
    protocol: protocol === 'UDP' ? 'UDP' : 'TCP',
  }));
  const made = (name: string, isService: boolean): SharedResource => {
    const host: DnsHost = {
      name,
      ...(isService && { service: true }),
      addresses: [...addresses],
      ...(ports.length > 0 && { ports }),
      ...(instances.length > 0 && { instances }),
    };
    const one = shared('dnsHosts', host);
    one.makeVersion();
    return one;
  };
  const { hostname, aliases = [] } = service;
  return [made(hostname, isInOwnDomain(service, domainSuffix)), ...aliases.map((alias) => made(alias, true))];
}
