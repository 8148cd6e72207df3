/**
 * Where keys of token issuers may be fetched. The author of a RequestAuthentication chooses the URL: the control plane must not
 * become a way to what only it reaches: cloud metadata, its own machine, the network behind it.
 */
import { type Cidr, cidrContains, parseCidr, parseIp } from '../../shared/match/cidr.ts';

/** `keycloak.internal` or `keycloak.internal:8443`, as `--jwks-allow-host` has them: hosts that may have any address. */
export type AllowedHosts = ReadonlySet<string>;

/** IPv4 addresses that are not of the public internet (IANA special-purpose registry), and multicast. */
const NOT_PUBLIC: readonly Cidr[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  // Of the global unicast addresses of IPv6: those that hold an IPv4 address, and those for documents.
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
].map(parseCidr);
/** All other addresses of IPv6 are link-local, private, loopback, mapped or reserved. */
const GLOBAL_UNICAST = parseCidr('2000::/3');

export function isPublicAddress(address: string): boolean {
  const ip = parseIp(address);
  if (!ip || NOT_PUBLIC.some((range) => cidrContains(range, address))) return false;
  return ip.family === 4 || cidrContains(GLOBAL_UNICAST, address);
}

/** Whether the host, or the host at this port, is one that was allowed by name. */
export function isAllowedHost(allowed: AllowedHosts, hostname: string, port: number): boolean {
  const host = hostname.toLowerCase().replace(/\.$/, '');
  return allowed.has(host) || allowed.has(`${host}:${port}`);
}

/** @throws Error in one line; an entry is a host name or an IP address, IPv6 in brackets, with or without a port */
export function parseAllowedHosts(entries: readonly string[]): AllowedHosts {
  return new Set(
    entries.map((entry) => {
      const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(entry) ?? [];
      if (!host || Number(port ?? 1) < 1 || Number(port ?? 1) > 65535)
        throw new Error(`${entry}: must be a host name or an IP address, with or without a port`);
      return entry.toLowerCase();
    }),
  );
}
