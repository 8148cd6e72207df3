/**
 * The PROXY protocol header before what a connection to an upstream sends (haproxy.org, proxy-protocol.txt, sections 2.1
 * and 2.2): which client the connection is for. As Envoy's upstream_proxy_protocol transport socket.
 */
import { type Ip, parseIp } from '../../shared/match/cidr.ts';
import type { ConnectionEnds } from '../runtime/runtime.ts';

export type ProxyProtocolVersion = 'V1' | 'V2';

/** Makes the header when the connection to the upstream is there. @param own its ends */
export type MakeHeader = (own: ConnectionEnds) => Uint8Array<ArrayBuffer>;

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const LOCAL = 0x20;
const PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;

/** The header of connections for no client, as those of health checks: V1 names the proxy itself, V2 says LOCAL. */
export function ownHeader(version: ProxyProtocolVersion): MakeHeader {
  if (version === 'V2') return () => Uint8Array.from([...SIGNATURE, LOCAL, 0, 0, 0]);
  return ({ localAddress, localPort, remoteAddress, remotePort }) =>
    headerV1(localAddress, localPort, remoteAddress, remotePort);
}

/** The header that names the client of a connection and the address it connected to. */
export function clientHeader(version: ProxyProtocolVersion, client: ConnectionEnds): MakeHeader {
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  const make = version === 'V1' ? headerV1 : headerV2;
  return () => make(remoteAddress, remotePort, localAddress, localPort);
}

/** Addresses of two families, or none (a unix socket), are UNKNOWN. */
function headerV1(from: string, fromPort: number, to: string, toPort: number): Uint8Array<ArrayBuffer> {
  const [source, target] = [parseIp(from), parseIp(to)];
  const known = source !== undefined && source.family === target?.family;
  const text = known ? `TCP${source.family} ${plain(from)} ${plain(to)} ${fromPort} ${toPort}` : 'UNKNOWN';
  return new TextEncoder().encode(`PROXY ${text}\r\n`);
}

function headerV2(from: string, fromPort: number, to: string, toPort: number): Uint8Array<ArrayBuffer> {
  const [source, target] = [parseIp(from), parseIp(to)];
  if (source === undefined || source.family !== target?.family) return Uint8Array.from([...SIGNATURE, LOCAL, 0, 0, 0]);
  const addresses = [...bytesOf(source), ...bytesOf(target), ...bigEndian16(fromPort), ...bigEndian16(toPort)];
  const family = source.family === 4 ? TCP4 : TCP6;
  return Uint8Array.from([...SIGNATURE, PROXY, family, ...bigEndian16(addresses.length), ...addresses]);
}

/** A v4-mapped address as the IPv4 address that it maps. */
function plain(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address.replace(/%.*$/, '');
}

function bytesOf({ words }: Ip): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

function bigEndian16(value: number): number[] {
  return [value >>> 8, value & 255];
}
