/** `--advertise HOST[:PORT]`: under which address the control plane is announced. */
import { isIP } from 'node:net';
import { isDnsName } from '../api/server/host-names.ts';
import type { Advertised } from '../api/server/tls-server.ts';
import { CliError } from './cli-error.ts';

/**
 * `mesh.example`, `mesh.example:443`, `10.1.0.10:443`, `2001:db8::1`, `[2001:db8::1]:443`.
 * @throws CliError
 */
export function advertisedOf(text: string): Advertised {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = isIP(text) === 6 ? text : (bracketed ?? plain ?? '').toLowerCase();
  const port = digits === undefined ? undefined : Number(digits);
  const isHost = isReachable(host) && (bracketed === undefined || isIP(host) === 6);
  if (!isHost || host.includes('%') || port === 0 || (port ?? 0) > 65535)
    throw new CliError(
      `--advertise ${text}: must be HOST or HOST:PORT as proxies reach it, with a DNS name, an IPv4 address or [an IPv6 address]`,
    );
  return port === undefined ? { host } : { host, port };
}

/** Digits and dots alone that are no address are no name either. */
function isReachable(host: string): boolean {
  if (host === '0.0.0.0' || host === '::') return false;
  return isIP(host) !== 0 || (isDnsName(host) && !/^[\d.]+$/.test(host));
}
