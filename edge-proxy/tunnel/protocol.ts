/** What gateway and workload say to each other on a tunnel, besides the bytes of the connections. */
import { parseIp } from '../../shared/match/cidr.ts';
import type { ConnectionEnds } from '../runtime/runtime.ts';

/** Of the first request of the gateway; its answer names the workloads that are reached by the tunnel. */
export const HELLO_PATH = '/tulle.tunnel.v1/workloads';
export const WORKLOAD_HEADER = 'tulle-workload';
/** Of a CONNECT: the client at the gateway, `address port`. */
export const CLIENT_HEADER = 'tulle-client';

const MOST_WORKLOADS = 64;
const MOST_TEXT = 16 * 1024;

export function writeWorkloads(workloads: readonly string[]): string {
  return workloads.slice(0, MOST_WORKLOADS).map(encodeURIComponent).join(',');
}

/** @returns undefined where it is malformed or names none */
export function readWorkloads(value: string): readonly string[] | undefined {
  if (value === '' || value.length > MOST_TEXT) return undefined;
  const parts = value.split(',');
  if (parts.length > MOST_WORKLOADS) return undefined;
  try {
    const named = parts.map((part) => decodeURIComponent(part.trim()));
    return named.some((name) => name === '') ? undefined : named;
  } catch {
    return undefined;
  }
}

export function clientText({
  remoteAddress,
  remotePort,
}: Pick<ConnectionEnds, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}

/** @returns undefined where it is malformed */
export function readClient(value: string | undefined): { address: string; port: number } | undefined {
  const [address = '', digits = '', more] = (value ?? '').split(' ');
  const port = Number(digits);
  if (more !== undefined || !parseIp(address) || !/^\d{1,5}$/.test(digits) || port > 65535) return undefined;
  return { address, port };
}

/** `10.0.0.1:80` or `[fd00::1]:80`. */
export function targetText({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** @returns undefined where it is no IP address with a port */
export function readTarget(authority: string): { address: string; port: number } | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(authority);
  const address = found?.[1] ?? found?.[2] ?? '';
  const port = Number(found?.[3]);
  if (!found || !parseIp(address) || port < 1 || port > 65535) return undefined;
  return { address, port };
}
