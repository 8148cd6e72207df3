/** auto_sni and auto_san_validation: the TLS name of an upstream connection comes from the requests that use it. */
import { isIpAddress } from '../../../shared/match/cidr.ts';
import type { HttpProtocolOptions } from '../../../shared/xds/cluster.ts';
import type { UpstreamTlsContext } from '../../../shared/xds/tls.ts';
import { ConfigError } from '../../config-error.ts';
import type { Cluster, Endpoint } from '../../upstream/cluster.ts';
import type { Host } from '../../upstream/host.ts';

export interface AutoTls {
  readonly sni: boolean;
  readonly validate: boolean;
}

/** What a request asks of the TLS peer. */
export interface AskedPeer {
  /** The requested host, without its port. */
  readonly name: string;
  /** The SNI; undefined: the configured one (an address is none, RFC 6066 section 3). */
  readonly serverName: string | undefined;
  /** What the peer's certificate must name, beside the configured rules; undefined: no more than those. */
  readonly mustName: string | undefined;
}

const PATH = 'typedExtensionProtocolOptions upstreamHttpProtocolOptions';
/** Of one endpoint, at a time: clients can send any number of names. */
const MOST_NAMES = 1000;
const MOST_NAME_LENGTH = 253;

/** @returns undefined where requests do not choose */
export function autoTls(http: HttpProtocolOptions | undefined): AutoTls | undefined {
  const { autoSni: sni = false, autoSanValidation: validate = false } = http?.upstreamHttpProtocolOptions ?? {};
  return sni || validate ? { sni, validate } : undefined;
}

/** @throws ConfigError where the names would be compared with nothing that was verified, or two settings give the SNI */
export function checkAutoTls(auto: AutoTls, context: UpstreamTlsContext): void {
  const { validationContext, validationContextSdsSecretConfig, combinedValidationContext } =
    context.commonTlsContext ?? {};
  const verifies = validationContext?.trustedCa || validationContextSdsSecretConfig || combinedValidationContext;
  if (auto.validate && !verifies) throw new ConfigError(`${PATH}.autoSanValidation`, 'needs a trustedCa');
}

/** @param tls of an endpoint for a request */
export function secureByRequest(
  auto: AutoTls,
  tls: (host: Host, asked: AskedPeer) => Host['tls'],
): NonNullable<Cluster['secured']> {
  const known = new WeakMap<Endpoint, Map<string, Host>>();
  return (endpoint, authority) => {
    let byAuthority = known.get(endpoint);
    if (!byAuthority) known.set(endpoint, (byAuthority = new Map()));
    let found = byAuthority.get(authority);
    if (!found) {
      if (byAuthority.size >= MOST_NAMES) byAuthority.clear();
      const asked = askedBy(authority, auto);
      const host = endpoint as Host;
      byAuthority.set(authority, (found = host.withTls(tls(host, asked), asked.name)));
    }
    return found;
  };
}

function askedBy(authority: string, { sni, validate }: AutoTls): AskedPeer {
  const name = hostOf(authority).toLowerCase();
  const isName = !isIpAddress(name) && name.length <= MOST_NAME_LENGTH && /^[a-z0-9_.-]+$/.test(name);
  return { name, serverName: sni && isName ? name : undefined, mustName: validate ? name : undefined };
}

/** Without port, and without the brackets of an IPv6 address. */
function hostOf(authority: string): string {
  if (authority.startsWith('[')) return authority.slice(1, Math.max(authority.indexOf(']'), 1));
  const colon = authority.indexOf(':');
  return colon < 0 ? authority : authority.slice(0, colon);
}
