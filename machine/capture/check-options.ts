/** Refuses capture options that would not mean what they say. The rules are text: nothing unchecked is written into them. */
import { isIP } from 'node:net';
import { CaptureError, type CaptureOptions, type InboundCapture, NEVER_INBOUND } from './capture-options.ts';

/** The kernel's: at most 15 bytes, neither white space nor `/`; `*` or `+` at the end means any suffix. */
const INTERFACE = /^[A-Za-z0-9_.:@-]{1,15}$|^[A-Za-z0-9_.:@-]{1,14}[*+]$/;
/** Above what rules of one host need; the kernel's sets have no such limit. */
const MAX_ENTRIES = 1024;
const MAX_ID = 4_294_967_294;

/** @throws CaptureError naming the field */
export function checkOptions({ proxyUid, outbound, inbound, dnsPort, dnsServers }: CaptureOptions): void {
  // Root's connections are those of the whole host, so that root as the proxy's user would exempt them.
  if (!isId(proxyUid) || proxyUid === 0) throw new CaptureError('proxyUid: must be a user id other than 0');
  for (const name of ['includeIPRanges', 'excludeIPRanges'] as const) checkRanges(`outbound.${name}`, outbound[name]);
  for (const name of ['includePorts', 'excludePorts'] as const) checkPorts(`outbound.${name}`, outbound[name]);
  for (const name of ['excludeUids', 'excludeGids'] as const)
    checkEach(`outbound.${name}`, outbound[name], isId, 'an id');
  checkEach('outbound.excludeInterfaces', outbound.excludeInterfaces, isInterface, 'an interface');
  checkPorts('inbound.includePorts', inbound.includePorts);
  checkPorts('inbound.excludePorts', inbound.excludePorts);
  if (inbound.includePorts !== '*') inbound.includePorts.forEach(checkWorkloadPort);
  if (dnsPort !== undefined) checkPorts('dnsPort', [dnsPort]);
  checkEach('dnsServers', dnsServers ?? [], (server) => isIP(server) > 0, 'an IP address');
}

/** CIDR or single address -> family, or undefined where it is neither. */
export function familyOf(range: string): 4 | 6 | undefined {
  const [address = '', length, ...rest] = range.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return undefined;
  if (length !== undefined && (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > (family === 4 ? 32 : 128)))
    return undefined;
  return family as 4 | 6;
}

/** The ports that are captured, or those that are not besides NEVER_INBOUND. */
export type WorkloadPorts = { readonly only: readonly number[] } | { readonly allBut: readonly number[] };

export function workloadPortsOf({ includePorts, excludePorts }: InboundCapture): WorkloadPorts {
  if (includePorts !== '*') return { only: includePorts.filter((port) => !excludePorts.includes(port)) };
  const { ssh, firstOfMesh, lastOfMesh } = NEVER_INBOUND;
  return { allBut: excludePorts.filter((port) => port !== ssh && (port < firstOfMesh || port > lastOfMesh)) };
}

export function capturesInbound(inbound: InboundCapture): boolean {
  const ports = workloadPortsOf(inbound);
  return !('only' in ports) || ports.only.length > 0;
}

const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id <= MAX_ID;
const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;
export const isInterface = (name: string): boolean => INTERFACE.test(name);

function checkRanges(field: string, ranges: '*' | readonly string[]): void {
  if (ranges !== '*') checkEach(field, ranges, (range) => familyOf(range) !== undefined, 'an IP range (CIDR)');
}

function checkPorts(field: string, ports: '*' | readonly number[]): void {
  if (ports !== '*') checkEach(field, ports, isPort, 'a port (1 to 65535)');
}

function checkEach<T>(field: string, values: readonly T[], holds: (value: T) => boolean, what: string): void {
  if (values.length > MAX_ENTRIES) throw new CaptureError(`${field}: must have at most ${MAX_ENTRIES} entries`);
  const wrong = values.find((value) => !holds(value));
  if (wrong !== undefined) throw new CaptureError(`${field}: ${JSON.stringify(wrong)} is not ${what}`);
}

function checkWorkloadPort(port: number): void {
  const { ssh, firstOfMesh, lastOfMesh } = NEVER_INBOUND;
  if (port === ssh) throw new CaptureError('inbound.includePorts: 22 is SSH, which is never captured');
  if (port >= firstOfMesh && port <= lastOfMesh)
    throw new CaptureError(
      `inbound.includePorts: ${port} belongs to the mesh (${firstOfMesh} to ${lastOfMesh}), and is never captured`,
    );
}
