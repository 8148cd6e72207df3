/** Which values of a probe's fields proxies cannot ask with: in a WorkloadGroup, and in a ProxyConfig's readinessProbe. */
import { isIpAddress } from '../../match/cidr.ts';

export const hostWithoutEffect = (host: unknown): string | undefined =>
  host === '' || host === 'localhost' || isIpAddress(String(host))
    ? undefined
    : 'has no effect: it must be an address or localhost, as names are not looked up; the probe is not made';
