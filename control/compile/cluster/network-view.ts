/**
 * What a caller sees of other networks (istio.io: "Install Multi-Primary on different networks"): endpoints that it cannot reach
 * directly are replaced by the gateways of their network, which forward mTLS connections by SNI (AUTO_PASSTHROUGH).
 */
import { type Cidr, cidrContainsIp, isIpAddress, parseCidr, parseIp } from '../../../shared/match/cidr.ts';
import { isFields, text } from '../../mesh/fields.ts';
import { compare } from '../../mesh/sorted-list.ts';
import type { MeshEndpoint, MeshService, MeshView } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import {
  GATEWAY_PORT,
  NETWORK_LABEL,
  PORT_LABEL,
  type TunnelGateway,
  trustDomainsOf,
  tunnelGatewaysFor,
  tunnelGatewaysIn,
} from './tunnel-view.ts';

export interface NetworkGateway {
  readonly address: string;
  readonly port: number;
}

export interface NetworkView {
  /** Of the caller; '': it reaches every endpoint directly. */
  readonly own: string;
  /** Of each network that has one, sorted by address and port. */
  readonly gateways: ReadonlyMap<string, readonly NetworkGateway[]>;
  /** By how much the weights of endpoints are multiplied, so that each can be divided among the gateways of its network. */
  readonly scale: number;
  /** Networks of endpoints that name none, by address. */
  readonly ranges: readonly { readonly cidr: Cidr; readonly network: string }[];
  /** That take tunnels of workloads behind NAT, sorted by address and port. */
  readonly tunnelGateways: readonly TunnelGateway[];
  /** The caller is one of them. */
  readonly takesTunnels: boolean;
  readonly trustDomains: readonly string[];
}

/** Of a mesh with one network. */
export const ONE_NETWORK: NetworkView = Object.freeze({
  own: '',
  gateways: new Map(),
  scale: 1,
  ranges: [],
  tunnelGateways: [],
  takesTunnels: false,
  trustDomains: [],
});

/**
 * @param own the caller's network; '': it reaches every endpoint of another one directly
 * @param takesTunnels it is a gateway of workloads behind NAT
 * @returns the same object for the same networks and gateways
 */
export function networkView(
  view: Pick<MeshView, 'settings' | 'services' | 'endpoints'>,
  own: string,
  takesTunnels = false,
): NetworkView {
  const gateways = own === '' ? [] : gatewaysOf(view);
  const tunnels = tunnelGatewaysIn(view);
  if (gateways.length === 0 && tunnels.length === 0 && !takesTunnels) return ONE_NETWORK;
  return viewOf({
    own,
    gateways: JSON.stringify(gateways),
    ranges: JSON.stringify(own === '' && tunnels.length === 0 ? [] : rangesOf(view)),
    tunnels: JSON.stringify(tunnels),
    takesTunnels,
    trustDomains: trustDomainsOf(view.settings).join(),
  });
}

type NamedGateway = readonly [network: string, address: string, port: number];

interface ViewInput {
  readonly own: string;
  readonly gateways: string;
  readonly ranges: string;
  readonly tunnels: string;
  readonly takesTunnels: boolean;
  readonly trustDomains: string;
}

const viewOf = generator<ViewInput, NetworkView>(
  { own: true, gateways: true, ranges: true, tunnels: true, takesTunnels: true, trustDomains: true },
  (input) => {
    const gateways = new Map<string, NetworkGateway[]>();
    for (const [network, address, port] of JSON.parse(input.gateways) as NamedGateway[]) {
      const others = gateways.get(network);
      if (others) others.push({ address, port });
      else gateways.set(network, [{ address, port }]);
    }
    const ranges = (JSON.parse(input.ranges) as [string, string][]).map(([cidr, network]) => ({
      cidr: parseCidr(cidr),
      network,
    }));
    const tunnelGateways = JSON.parse(input.tunnels) as TunnelGateway[];
    const divisors = [...[...gateways.values()].map(({ length }) => length), ...groupSizes(tunnelGateways)];
    const scale = divisors.reduce(leastCommonMultiple, 1);
    const { own, takesTunnels } = input;
    return { own, gateways, scale, ranges, tunnelGateways, takesTunnels, trustDomains: input.trustDomains.split(',') };
  },
);

/** The network of an endpoint: its own, else by its address; '': unknown, which every caller reaches. */
export function networkOf({ network, labels, address }: MeshEndpoint, { ranges }: NetworkView): string {
  const named = network || labels[NETWORK_LABEL];
  if (named || ranges.length === 0) return named ?? '';
  const ip = parseIp(address);
  return (ip && ranges.find(({ cidr }) => cidrContainsIp(cidr, ip))?.network) ?? '';
}

/** The gateways that a caller reaches a network by; undefined: it reaches the endpoints themselves. */
export function gatewaysTo(network: string, view: NetworkView): readonly NetworkGateway[] | undefined {
  if (network === '' || network === view.own) return undefined;
  return view.gateways.get(network);
}

/** Among how many gateways the weight of an endpoint behind NAT may be divided. */
function groupSizes(gateways: readonly TunnelGateway[]): number[] {
  // '' means all networks and namespaces without gateways of their own.
  const networks = new Set(['', ...gateways.map(({ network }) => network)]);
  const namespaces = new Set(['', ...gateways.map(({ namespace }) => namespace)]);
  const sizes = [...networks].flatMap((network) =>
    [...namespaces].map((namespace) => tunnelGatewaysFor({ network, namespace }, gateways).length),
  );
  return [...new Set(sizes.filter((size) => size > 0))];
}

function gatewaysOf(view: Pick<MeshView, 'settings' | 'services' | 'endpoints'>): NamedGateway[] {
  const found = [...configuredGateways(view), ...labelledGateways(view)].filter(([, address]) => isIpAddress(address));
  const byText = new Map(found.map((one) => [one.join(' '), one]));
  return [...byText.keys()].sort(compare).map((key) => byText.get(key)!);
}

/** Of MeshNetworks. */
function configuredGateways(view: Pick<MeshView, 'settings' | 'services' | 'endpoints'>): NamedGateway[] {
  return Object.entries(view.settings.networks?.networks ?? {}).flatMap(([network, { gateways = [] }]) =>
    gateways.flatMap(({ address, registryServiceName: name, port = GATEWAY_PORT }) => {
      if (address !== undefined) return [[network, address, port] as const];
      const service = view.services.find(({ hostname }) => hostname === name);
      return service ? addressesOf(view, service).map((each) => [network, each, port] as const) : [];
    }),
  );
}

function labelledGateways(view: Pick<MeshView, 'services' | 'endpoints'>): NamedGateway[] {
  return labelled(view.services).flatMap((service) => {
    const port = Number(service.labels[PORT_LABEL] ?? GATEWAY_PORT);
    return addressesOf(view, service).map((address) => [service.labels[NETWORK_LABEL]!, address, port] as const);
  });
}

const labelledServices = new WeakMap<readonly MeshService[], readonly MeshService[]>();

function labelled(services: readonly MeshService[]): readonly MeshService[] {
  let found = labelledServices.get(services);
  if (!found) labelledServices.set(services, (found = services.filter(({ labels }) => labels[NETWORK_LABEL])));
  return found;
}

/** Where other networks reach the service of a gateway: its external addresses, else those of its workloads. */
function addressesOf(view: Pick<MeshView, 'endpoints'>, service: MeshService): string[] {
  const { spec, status } = service.resource as { spec?: unknown; status?: unknown };
  const external = isFields(spec) && Array.isArray(spec['externalIPs']) ? spec['externalIPs'] : [];
  const balancer = isFields(status) && isFields(status['loadBalancer']) ? status['loadBalancer']['ingress'] : undefined;
  const ingress = Array.isArray(balancer) ? balancer.map((one) => (isFields(one) ? text(one['ip']) : undefined)) : [];
  const named = [...external, ...ingress].filter((one): one is string => typeof one === 'string');
  if (named.length > 0) return named;
  return view.endpoints(service).flatMap(({ address, healthy }) => (healthy ? [address] : []));
}

/** Of MeshNetworks, in the order in which it has them. */
function rangesOf({ settings }: Pick<MeshView, 'settings'>): [cidr: string, network: string][] {
  return Object.entries(settings.networks?.networks ?? {}).flatMap(([network, { endpoints = [] }]) =>
    endpoints.flatMap(({ fromCidr }) => (fromCidr === undefined ? [] : [[fromCidr, network] as [string, string]])),
  );
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => (y === 0 ? x : divisor(y, x % y));
  return (a * b) / divisor(a, b);
}
