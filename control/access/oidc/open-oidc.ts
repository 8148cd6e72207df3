/** Users of the OpenID provider of a control plane's settings. */
import type { Log } from '../../../shared/log/log.ts';
import type { AllowedHosts } from '../../jwks/allowed-addresses.ts';
import { keyFetcher } from '../../jwks/key-fetcher.ts';
import type { User } from '../user.ts';
import { type OidcSettings, oidcUsers } from './oidc-users.ts';
import { ProviderKeys } from './provider-keys.ts';

export interface OpenOidcOptions {
  /** Hosts besides the provider's that may have addresses which are not public. */
  readonly allowedHosts: AllowedHosts;
  readonly refreshMs: number;
  readonly log: Log;
}

/** The provider is asked for its keys at once; the start of the control plane does not wait for it. */
export function openOidc(
  settings: OidcSettings,
  { allowedHosts, refreshMs, log }: OpenOidcOptions,
): (token: string) => Promise<User | undefined> {
  const { issuer, roots } = settings;
  const fetcher = keyFetcher({
    // The administrator names the provider: it may be in the network of the control plane.
    allowedHosts: new Set([...allowedHosts, new URL(issuer).hostname]),
    ...(roots !== undefined && { roots }),
  });
  const keys = new ProviderKeys({ issuer, fetcher, refreshMs, log });
  void keys.prepare();
  return oidcUsers({ settings, keys });
}
