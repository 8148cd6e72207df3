/** Whether a patch matches a listener, a route configuration or a cluster, or a part of one (listener_patch.go, rc_patch.go, cluster_patch.go of Istio). */
import type { Origin } from '../output/produced.ts';
import type { ConfigPatch } from './config-patch.ts';
import { type Fields, isFields } from './merge.ts';

export type Context = 'SIDECAR_INBOUND' | 'SIDECAR_OUTBOUND' | 'GATEWAY';

export const CONTEXTS: { readonly [S in Origin['side']]: Context } = {
  inbound: 'SIDECAR_INBOUND',
  outbound: 'SIDECAR_OUTBOUND',
  gateway: 'GATEWAY',
};

type Match = ConfigPatch['match'];

export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {});
export const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.filter(isFields) : []);

export function inContext({ context = 'ANY' }: Match, here: Context): boolean {
  return context === 'ANY' || context === here;
}

const portOf = ({ address }: Fields): unknown => fieldsOf(fieldsOf(address)['socketAddress'])['portValue'];

/** Listeners whose filter chains have the ports that connections were for. */
const isVirtual = ({ name }: Fields): boolean => name === 'virtualInbound' || name === 'virtualOutbound';

export function matchesListener({ applyTo, match }: Pick<ConfigPatch, 'applyTo' | 'match'>, listener: Fields): boolean {
  const { name, portNumber } = match.listener ?? {};
  if (name && name !== listener['name']) return false;
  // What is within the virtual listeners is matched by the ports of their chains.
  if (applyTo !== 'LISTENER' && isVirtual(listener)) return true;
  return !portNumber || portOf(listener) === portNumber;
}

export function matchesChain({ match }: Pick<ConfigPatch, 'match'>, listener: Fields, chain: Fields): boolean {
  const { portNumber, filterChain = {} } = match.listener ?? {};
  const own = fieldsOf(chain['filterChainMatch']);
  if (portNumber && isVirtual(listener) && own['destinationPort'] !== portNumber) return false;
  const { name, sni, transportProtocol, applicationProtocols, destinationPort, transportSocket } = filterChain;
  const protocols = applicationProtocols ? applicationProtocols.split(',') : [];
  return (
    (!name || name === chain['name']) &&
    (!sni || textsOf(own['serverNames']).includes(sni)) &&
    (!transportProtocol || own['transportProtocol'] === transportProtocol) &&
    protocols.every((one) => textsOf(own['applicationProtocols']).includes(one.trim())) &&
    // A listener of one port has it itself.
    (!destinationPort || (own['destinationPort'] ?? portOf(listener)) === destinationPort) &&
    (!transportSocket || fieldsOf(chain['transportSocket'])['name'] === transportSocket)
  );
}

const textsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** The name of the network filter that a patch is about or is placed beside; undefined: none. */
export const networkFilterOf = ({ match }: Pick<ConfigPatch, 'match'>): string | undefined =>
  match.listener?.filterChain?.filter?.name || undefined;

/** The same of an HTTP filter. */
export const httpFilterOf = ({ match }: Pick<ConfigPatch, 'match'>): string | undefined =>
  match.listener?.filterChain?.filter?.subFilter?.name || undefined;

/** What of a route configuration is not in the resource. */
export interface RoutePlace {
  readonly context: Context;
  /** The ports that the configuration serves, where they are known. */
  readonly ports?: readonly number[] | undefined;
}

export function matchesConfiguration(
  { match }: Pick<ConfigPatch, 'match'>,
  config: Fields,
  place: RoutePlace,
): boolean {
  const { name, portNumber, portName, gateway } = match.routeConfiguration ?? {};
  const own = String(config['name'] ?? '');
  if (name && name !== own) return false;
  if (place.context !== 'GATEWAY') return !portNumber || portsOf(place, sidecarPort(own)).includes(portNumber);
  const named = gatewayName(own);
  return (
    (!portNumber || portsOf(place, named.port).includes(portNumber)) &&
    (!portName || portName === named.portName) &&
    (!gateway || gateway === named.gateway)
  );
}

const portsOf = ({ ports }: RoutePlace, named: number): readonly number[] =>
  ports && ports.length > 0 ? ports : [named];

/** `80`, `inbound|9080|http|reviews` */
function sidecarPort(name: string): number {
  const [first = '', second = '', , fourth = ''] = name.split('|');
  if (first === 'inbound') return Number(second) || Number(fourth) || Number(name.split('|')[2]) || 0;
  return Number(first) || 0;
}

/** `http.80`, `https.443.app1.gw1.ns1`: port, name of the port, `namespace/name` of the Gateway. */
function gatewayName(name: string): { port: number; portName: string; gateway: string } {
  const parts = name.split('.');
  const port = Number(parts[1]) || 0;
  if (parts.length < 5) return { port, portName: '', gateway: '' };
  return { port, portName: parts[2] ?? '', gateway: `${parts[4]}/${parts[3]}` };
}

/** @param host undefined: the patch is not about one virtual host */
export function matchesVirtualHost({ match }: Pick<ConfigPatch, 'match'>, host: Fields | undefined): boolean {
  const wanted = match.routeConfiguration?.vhost;
  if (!wanted) return true;
  if (!host) return false;
  const { name, domainName } = wanted;
  return (!name || name === host['name']) && (!domainName || textsOf(host['domains']).includes(domainName));
}

/** Whether the patch names a route; without, it is about all of them. */
export const namesRoute = ({ match }: Pick<ConfigPatch, 'match'>): boolean =>
  match.routeConfiguration?.vhost?.route !== undefined;

const ACTIONS = { ROUTE: 'route', REDIRECT: 'redirect', DIRECT_RESPONSE: 'directResponse' } as const;

export function matchesRoute({ match }: Pick<ConfigPatch, 'match'>, route: Fields): boolean {
  const { name, action = 'ANY' } = match.routeConfiguration?.vhost?.route ?? {};
  if (name && name !== route['name']) return false;
  return action === 'ANY' || route[ACTIONS[action]] !== undefined;
}

/** @param hosts those that an inbound cluster serves */
export function matchesCluster(
  { match }: Pick<ConfigPatch, 'match'>,
  cluster: Fields,
  hosts: readonly string[],
): boolean {
  if (!match.cluster) return true;
  const { name, portNumber, service, subset } = match.cluster;
  const own = String(cluster['name'] ?? '');
  if (name) return name === own;
  const [direction = '', port = '', itsSubset = '', host = ''] = own.includes('|') ? own.split('|') : [];
  const served = direction === 'inbound' && hosts.length > 0 ? hosts : [host];
  return (
    (!subset || subset === itsSubset) &&
    (!service || served.includes(service)) &&
    (!portNumber || Number(port) === portNumber)
  );
}
