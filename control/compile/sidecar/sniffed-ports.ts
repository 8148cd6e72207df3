/**
 * Outbound ports of services that declare no protocol: what is HTTP is found out by its first bytes and routed, the rest is
 * passed on (istio.io: protocol selection).
 */
import type { FilterChainMatch } from '../../../shared/xds/listener.ts';
import type { MeshService, ServicePort } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import { httpPorts } from '../routes/routes.ts';

/** Plaintext of a client that speaks HTTP, as the HTTP inspector finds it. */
export const HTTP_MATCH: FilterChainMatch = {
  transportProtocol: 'raw_buffer',
  applicationProtocols: ['http/1.1', 'h2c'],
};

export const isSniffed = ({ protocol }: ServicePort): boolean => protocol === 'UNSUPPORTED';

export interface SniffedTarget {
  readonly service: MeshService;
  readonly port: ServicePort;
}

/** The route configurations of sniffed ports, beside those of the HTTP ports. */
export interface SniffedRoutes {
  /** Of one service: whatever host its requests name. */
  readonly own: readonly SniffedTarget[];
  /** Port numbers at which the requested host tells services apart. */
  readonly shared: readonly number[];
}

export const sniffedRoutes = generator<{ services: readonly MeshService[]; captured: boolean }, SniffedRoutes>(
  { services: true, captured: true },
  ({ services, captured }) => {
    const own: SniffedTarget[] = [];
    const shared = new Set<number>();
    for (const service of services)
      for (const port of service.ports.filter(isSniffed))
        if (hasOwnRoutes(services, { service, port }, captured)) own.push({ service, port });
        else shared.add(port.number);
    for (const number of httpPorts({ list: services })) shared.delete(number);
    return { own, shared: [...shared].sort((a, b) => a - b) };
  },
);

/** The name of the route configuration of a sniffed port. */
export function sniffedRouteName(services: readonly MeshService[], target: SniffedTarget, captured: boolean): string {
  return hasOwnRoutes(services, target, captured) ? ownRouteName(target) : String(target.port.number);
}

export const ownRouteName = ({ service, port }: SniffedTarget): string => `${service.hostname}:${port.number}`;

/** As istiod: where its listener has an address of its own; without capture also where no other service is at the port. */
function hasOwnRoutes(services: readonly MeshService[], { service, port }: SniffedTarget, captured: boolean): boolean {
  if (ownAddresses(service, captured).length > 0) return true;
  return !captured && servicesWithoutAddress({ services }).get(port.number) === 1;
}

/** By port number: how many services have their listener there at the address that all share. */
const servicesWithoutAddress = generator<{ services: readonly MeshService[] }, ReadonlyMap<number, number>>(
  { services: true },
  ({ services }) => {
    const counts = new Map<number, number>();
    for (const service of services) {
      if (ownAddresses(service, false).length > 0) continue;
      const numbers = new Set(service.ports.flatMap(({ number, protocol }) => (protocol === 'UDP' ? [] : [number])));
      for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1);
    }
    return counts;
  },
);

/** Addresses at which only this service has listeners: with capture its virtual IPs, without its loopback addresses. */
export function ownAddresses({ addresses }: MeshService, captured: boolean): string[] {
  return addresses.filter((address) => (captured ? !address.includes('/') : isLoopback(address)));
}

/** Every host may bind it, and no other host is reached by it. */
const isLoopback = (address: string): boolean => /^127\.\d+\.\d+\.\d+$/.test(address);
