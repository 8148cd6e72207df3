/** Outbound listeners that the application calls at an address they are bound to, or at a Unix domain socket. */
import { isHttp } from '../../../shared/match/protocol.ts';
import type { FilterChain, Listener } from '../../../shared/xds/listener.ts';
import type { Work } from '../output/compiled-node.ts';
import { frozen } from '../output/shared-resource.ts';
import { isTlsPort, type ServiceTarget, withDefault } from '../routes/l4-routes.ts';
import { httpPorts } from '../routes/routes.ts';
import { type EgressGroup, servesAllPorts } from '../scope/egress.ts';
import { detectionTimeout } from './http-manager.ts';
import { allPorts, httpChain, inspectors, type Outbound, passthroughChain, tcpChains } from './outbound-chains.ts';
import { HTTP_MATCH, isSniffed, ownAddresses } from './sniffed-ports.ts';

/** Where the listeners of a group are. */
export interface BoundPlace {
  /** An address, or `unix:///path`. */
  readonly address: string;
  /** A service with a loopback address of its own has its listeners there. */
  readonly spreads: boolean;
  /** False: connections are captured, and the address is the one that they were sent to. */
  readonly bindToPort: boolean;
}

/** The listeners of one group, in the order of their ports. Pauses between them. */
export function* boundListeners(input: Outbound, group: EgressGroup, place: BoundPlace): Work<Listener[]> {
  const { port } = group;
  if (port?.number === 0) return yield* socketListener(input, place, port.protocol);
  if (port && servesAllPorts(group)) {
    const name = `${place.address}_${port.number}`;
    const chain = httpChain(input, name, String(port.number), allPorts(input.services));
    return [bound(input, place, port.number, [chain])];
  }
  return yield* portListeners(input, place);
}

/** @param address default: that of the place */
export function bound(
  input: Pick<Outbound, 'settings' | 'policy'>,
  { bindToPort, ...place }: BoundPlace,
  port: number,
  chains: FilterChain[],
  address: string = place.address,
): Listener {
  const socket = address.startsWith('unix://')
    ? { pipe: { path: address.slice('unix://'.length) } }
    : { socketAddress: { address, portValue: port } };
  const open = chains.some(({ filterChainMatch }) => filterChainMatch === undefined);
  return frozen<Listener>({
    name: `${address}_${port}`,
    address: socket,
    ...(!bindToPort && { bindToPort: false }),
    trafficDirection: 'OUTBOUND',
    ...withDefault(chains),
    ...(!open && { defaultFilterChain: passthroughChain(input) }),
    ...inspectors(chains),
    listenerFiltersTimeout: detectionTimeout(input.settings),
    continueOnListenerFiltersTimeout: true,
  });
}

/**
 * One listener a port number on the address of the place. HTTP first: it can serve many services; of several TCP services
 * on one port TLS ones are distinguished by SNI, others by the address that the client connects to; the first has the
 * connections that no address distinguishes. A TCP service with a loopback address of its own (`spec.addresses`) has its
 * listener there, and no other comes into its way.
 */
function* portListeners(input: Outbound, place: BoundPlace): Work<Listener[]> {
  const { address: bind } = place;
  const listeners: Listener[] = [];
  const ports = httpPorts(input.services);
  for (const port of ports) {
    const chain = httpChain(input, `${bind}_${port}`, String(port), [port]);
    listeners.push(bound(input, place, port, [chain]));
    yield;
  }
  for (const { address, number, targets } of tcpPlaces(input, place, ports)) {
    const name = `${address}_${number}`;
    const alone = targets.length === 1;
    const distinct = alone ? targets : toldApart(input, name, targets);
    const chains = yield* tcpChains(input, name, distinct, { shared: !alone, captured: false });
    listeners.push(bound(input, place, number, chains, address));
    yield;
  }
  return listeners;
}

/** Ports that are not HTTP, in the order of their services. */
export function tcpTargets({ services }: Pick<Outbound, 'services'>): ServiceTarget[] {
  return services.list.flatMap((service) =>
    service.ports
      .filter((port) => !isHttp(port.protocol) && port.protocol !== 'UDP')
      .map((port) => ({ service, port })),
  );
}

/** A listener of services that are not HTTP. */
interface TcpPlace {
  readonly address: string;
  readonly number: number;
  readonly targets: ServiceTarget[];
}

/** Where the services that are not HTTP are found. @param taken ports of the place that HTTP services have */
function tcpPlaces(
  input: Outbound,
  { address: bind, spreads }: BoundPlace,
  taken: readonly number[],
): Iterable<TcpPlace> {
  const places = new Map<string, TcpPlace>();
  for (const target of tcpTargets(input)) {
    const { service, port } = target;
    const own = spreads ? ownAddresses(service, false) : [];
    for (const address of own.length > 0 ? own : [bind]) {
      if (address === bind && taken.includes(port.number)) {
        const what = isSniffed(port) ? 'is called over HTTP alone' : 'has no listener';
        input.note(`${service.hostname}:${port.number} ${what}: HTTP services use that port; ${OWN_ADDRESS}`);
        continue;
      }
      const name = `${address}_${port.number}`;
      const place = places.get(name);
      if (place) place.targets.push(target);
      else places.set(name, { address, number: port.number, targets: [target] });
    }
  }
  return places.values();
}

const OWN_ADDRESS =
  'give it an address of its own in 127.0.0.0/8 (spec.addresses of its ServiceEntry), where it gets a listener, or another port';

/**
 * Targets of one listener, with the addresses by which those that are not TLS are distinguished. The first has, besides,
 * what is distinguished by nothing; of the others a note says how they are reached.
 */
function toldApart(input: Outbound, name: string, targets: readonly ServiceTarget[]): ServiceTarget[] {
  const plain = targets.filter(({ port }) => !isTlsPort(port));
  const [first, ...others] = plain;
  const anywhere = name.startsWith('0.0.0.0_') || name.startsWith('::_');
  for (const { service, port } of others)
    if (!anywhere || service.addresses.length === 0)
      input.note(
        `listener ${name}: its connections go to ${first!.service.hostname}, not to ${service.hostname}:${port.number}: ` +
          OWN_ADDRESS,
      );
  return targets.flatMap((target) => {
    if (isTlsPort(target.port) || target.service.addresses.length === 0) return [target];
    const byAddress = { ...target, addresses: target.service.addresses };
    return target === first ? [byAddress, target] : [byAddress];
  });
}

/**
 * The listener of a Unix domain socket: its protocol is that of the group, whatever its services declare. HTTP is routed by
 * the host and port that requests name; TLS by SNI; other connections go to the first service with a single port.
 */
function* socketListener(
  input: Outbound,
  place: BoundPlace,
  protocol: NonNullable<EgressGroup['port']>['protocol'],
): Work<Listener[]> {
  const name = `${place.address}_0`;
  const http = httpChain(input, name, place.address, allPorts(input.services));
  if (isHttp(protocol)) return [bound(input, place, 0, [http])];
  const targets = socketTargets(input, name, protocol);
  const chains = yield* tcpChains(input, name, targets, { shared: targets.length > 1, captured: false });
  if (protocol === 'UNSUPPORTED') chains.unshift({ ...http, filterChainMatch: HTTP_MATCH });
  return chains.length > 0 ? [bound(input, place, 0, chains)] : [];
}

function socketTargets(
  { services, note }: Outbound,
  name: string,
  protocol: NonNullable<EgressGroup['port']>['protocol'],
): ServiceTarget[] {
  const targets: ServiceTarget[] = [];
  for (const service of services.list) {
    const [port, ...others] = service.ports.filter((each) => each.protocol !== 'UDP');
    if (!port) continue;
    if (others.length > 0) note(`listener ${name}: ${service.hostname} has several ports: it is not called there`);
    // What is HTTP of it has a chain already.
    else targets.push({ service, port: { ...port, protocol: protocol === 'UNSUPPORTED' ? 'TCP' : protocol } });
  }
  const [first, ...rest] = targets;
  if (!first || isTlsPort(first.port)) return targets;
  for (const { service } of rest)
    note(`listener ${name}: its connections go to ${first.service.hostname}, not to ${service.hostname}`);
  return [first];
}
