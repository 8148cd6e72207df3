/** Which upgrade a route grants to a request (RFC 9110 section 7.8). */
import type { RequestHead } from '../message/message.ts';

/** @returns lower-case name, `connect`, '' for a plain request; undefined: asked for and not allowed */
export function grantedUpgrade(head: RequestHead, allowed: ReadonlySet<string>): string | undefined {
  const { upgrade } = head;
  // h2c is an offer that may be ignored; an upgrade with a body is served as the request it also is.
  if (upgrade === '' || upgrade === 'h2c' || head.bodySize !== 0) return '';
  return allowed.has(upgrade) ? upgrade : undefined;
}
