/** Which upgrade a route grants to a request (RFC 9110 section 7.8). */
import type { RequestHead } from '../codec/h1/head.ts';

/** @returns lower-case name, `connect`, '' for a plain request; undefined: asked for and not allowed */
export function grantedUpgrade(head: RequestHead, allowed: ReadonlySet<string>): string | undefined {
  const connect = head.method === 'CONNECT';
  const wanted = connect ? 'connect' : head.upgrade;
  // h2c is an offer that may be ignored; an upgrade with a body is served as the request it also is.
  if (wanted === '' || wanted === 'h2c' || (!connect && head.framing !== 'none')) return '';
  return allowed.has(wanted) ? wanted : undefined;
}
