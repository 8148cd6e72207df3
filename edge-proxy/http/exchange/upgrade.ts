/** Which upgrade a route grants to a request (RFC 9110 section 7.8). */
import type { RequestHead } from '../message/message.ts';

/** @returns lower-case name, `connect`, '' for a plain request; undefined: requested and not allowed */
export function grantedUpgrade(head: RequestHead, allowed: ReadonlySet<string>): string | undefined {
  const { upgrade } = head;
  // An upgrade with a body is served as the request it also is.
  if (upgrade === '' || head.bodySize !== 0) return '';
  // An offer of HTTP/1.1 that may be ignored. Extended CONNECT (RFC 8441) is no offer: what follows it is no body.
  if (upgrade === 'h2c' && head.version !== 'HTTP/2') return '';
  return allowed.has(upgrade) ? upgrade : undefined;
}
