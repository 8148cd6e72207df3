/** IP addresses in network byte order. */
import { isIpAddress, parseIp } from './cidr.ts';

/** 4 or 16 bytes; undefined for text that is no address, or has a zone. A v4-mapped address has 4. */
export function ipBytes(text: string): Uint8Array | undefined {
  const ip = isIpAddress(text) ? parseIp(text) : undefined;
  if (!ip) return undefined;
  return Uint8Array.from(
    ip.words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]),
  );
}
