/** The names of compiled resources, as Istio forms them, and patterns of host names. */

export const BLACK_HOLE = 'BlackHoleCluster';
export const PASSTHROUGH = 'PassthroughCluster';
/** Dials the host that a request names, where that is none of the mesh's. */
export const DYNAMIC_ANY = 'AllowAnyDynamicDNSCluster';
export const INBOUND_PASSTHROUGH = 'InboundPassthroughCluster';

/** `outbound|9080|v1|reviews.default.svc.cluster.local` */
export function outboundCluster(port: number, subset: string | undefined, hostname: string): string {
  return `outbound|${port}|${subset ?? ''}|${hostname}`;
}
/** `inbound|9080||` */
export function inboundCluster(port: number): string {
  return `inbound|${port}||`;
}
/** The SNI of a mesh connection: `outbound_.9080_.v1_.reviews.default.svc.cluster.local` */
export function meshSni(port: number, subset: string | undefined, hostname: string): string {
  return `outbound_.${port}_.${subset === undefined || subset === '' ? '_' : `${subset}_`}.${hostname}`;
}
/** Whether `pattern` (`*`, `*.example.com` or exact) covers `host`, which may itself be a wildcard. */
export function hostCovers(pattern: string, host: string): boolean {
  if (pattern === '*' || pattern === host) return true;
  return pattern.startsWith('*') && host.replace(/^\*/, '').endsWith(pattern.slice(1));
}
/** Order of host patterns: exact before wildcard, longer before shorter. */
export function moreSpecific(a: string, b: string): number {
  const wild = Number(a.startsWith('*')) - Number(b.startsWith('*'));
  return wild || b.length - a.length || (a < b ? -1 : a > b ? 1 : 0);
}
/** Host and port as in a URL: an IPv6 address in brackets. */
export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
