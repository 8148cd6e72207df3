/** Addresses of servers as flags have them. */
import { isIpAddress } from '../match/cidr.ts';

/**
 * `10.0.0.1`, `10.0.0.1:5353`, `fd00::1`, `[fd00::1]:5353`.
 * @returns undefined where it is none of them
 */
export function parseSocketAddress(text: string, defaultPort: number): { address: string; port: number } | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  const [, address = text, port] = bracketed ?? plain ?? [];
  const number = port === undefined ? defaultPort : Number(port);
  if (!isIpAddress(address) || (bracketed && !address.includes(':')) || number < 1 || number > 65535) return undefined;
  return { address, port: number };
}
