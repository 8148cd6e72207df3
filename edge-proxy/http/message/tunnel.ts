/** Which responses open a tunnel (RFC 9110 sections 7.8 and 9.3.6). */

/** Both directions continue as bytes behind this response. @param upgrade as granted, '' for none */
export function isTunnel(upgrade: string, status: number): boolean {
  return upgrade !== '' && (status === 101 || (upgrade === 'connect' && status < 300));
}
