/** Fragments of RequestAuthentication. Keys are those that the case expects: where they come from is not what it is about. */
import type { ResourceOfKind } from '../../../../shared/resources/registry.ts';
import type { JwtRule } from '../../../../shared/resources/schema/request-authentication.ts';
import type { JwtAuthentication } from '../../../../shared/xds/filters/jwt-authn.ts';
import type { HttpFilter } from '../../../../shared/xds/http-connection-manager.ts';
import { spaceDelimitedClaims as claimsOf, jwtAuthnFilters } from '../../security/request-authentication.ts';
import type { Fragment, Json, Outcome } from './fragment.ts';

type Spec = NonNullable<ResourceOfKind<'RequestAuthentication'>['spec']>;

function filterOf(specs: readonly Spec[], expected: JwtAuthentication | undefined): HttpFilter | undefined {
  const keysOf = ({ issuer }: JwtRule) =>
    Object.values(expected?.providers ?? {}).find((provider) => provider.issuer === issuer)?.localJwks?.inlineString;
  const policies = specs.map((spec) => ({
    resource: {
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'one', namespace: 'foo' },
      spec,
    },
    rules: (spec.jwtRules ?? []).map((rule) => ({ rule, keys: keysOf(rule) ?? '' })),
    missing: [],
    fetched: [],
  }));
  return jwtAuthnFilters(policies, false)[0];
}

export function jwtRules({ input, expected }: Fragment<Spec>): Outcome {
  const filter = filterOf([input], (expected ?? undefined) as JwtAuthentication | undefined);
  const { '@type': _, ...made } = (filter?.typedConfig ?? {}) as Json;
  return { made: filter ? made : null, expected };
}

export function jwtFilter({ input, expected }: Fragment<{ policies: readonly Spec[] }>): Outcome {
  const config = (expected as { typedConfig?: JwtAuthentication } | null)?.typedConfig;
  return { made: filterOf(input.policies, config) ?? null, expected };
}

export function spaceDelimitedClaims({ input, expected }: Fragment<string[] | null>): Outcome {
  return { made: claimsOf(input ?? []), expected };
}
