/**
 * jwt_authn for JWT-SVIDs: a workload that cannot present a client certificate proves its SPIFFE id by a token
 * (https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md), and that id becomes the source principal.
 */
import { checkTrustDomain, parseSpiffeId } from '../../../../shared/identity/spiffe.ts';
import type { JwtAuthentication, JwtProvider } from '../../../../shared/xds/filters/jwt-authn.ts';
import { ConfigError, errorAt } from '../../../config-error.ts';
import type { FilterEnv } from '../definition.ts';
import type { FilterHooks } from '../hooks.ts';
import { createJwtAuthnFilter, type JwtFilterUse } from './filter.ts';
import type { PrincipalOf } from './provider.ts';

/** Where this proxy's trust domain is known, a token of another one proves no principal here. */
type JwtSvidUse = Omit<JwtFilterUse, 'env'> & { readonly env: JwtFilterUse['env'] & Pick<FilterEnv, 'trustDomain'> };

/**
 * @throws ConfigError for what is not a JWT-SVID provider: one without issuer, audience, local keys, or a trust domain
 *   (`subjects.prefix` as Envoy documents it for SPIFFE: `spiffe://<trust domain>/`); and for a requirement without a provider
 */
export function createJwtSvidFilter(config: JwtAuthentication, use: JwtSvidUse): FilterHooks {
  const providers = Object.entries(config.providers ?? {});
  if (providers.length === 0) throw new ConfigError('providers', 'must not be empty');
  const rules = new Map(providers.map(([name, one]) => [name, svidRules(one, `providers["${name}"]`, use.env)]));
  return createJwtAuthnFilter(config, { ...use, principalOf: (name) => rules.get(name)! });
}

function svidRules(
  provider: JwtProvider,
  path: string,
  { trustDomain: own }: Pick<FilterEnv, 'trustDomain'>,
): PrincipalOf {
  // Without an audience a token made for anyone would prove an identity here.
  if (provider.audiences?.length !== 1) throw new ConfigError(`${path}.audiences`, 'must name exactly one audience');
  if (!provider.issuer) throw new ConfigError(`${path}.issuer`, 'must be set');
  const trustDomain = trustDomainOf(provider, `${path}.subjects`);
  const identifies = own === undefined || own === trustDomain;
  return ({ alg, header, claims: { sub, exp } }) => {
    const { typ } = header;
    if (alg !== 'ES256' || exp === undefined || (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE'))
      return undefined;
    return isWorkloadOf(sub, trustDomain) ? { principal: identifies ? sub : undefined } : undefined;
  };
}

/** The provider's keys are valid for one trust domain: their holder must not name identities of another. */
function trustDomainOf({ subjects }: JwtProvider, path: string): string {
  const [, trustDomain] = /^spiffe:\/\/([^/]+)\/$/.exec(subjects?.prefix ?? '') ?? [];
  if (!trustDomain || subjects?.ignoreCase)
    throw new ConfigError(path, 'must be the prefix "spiffe://<trust domain>/"');
  return errorAt(`${path}.prefix`, () => checkTrustDomain(trustDomain));
}

function isWorkloadOf(subject: string, trustDomain: string): boolean {
  try {
    const id = parseSpiffeId(subject);
    return id.trustDomain === trustDomain && id.path !== '';
  } catch {
    return false;
  }
}
