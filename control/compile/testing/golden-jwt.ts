/** The meaning of a jwt_authn filter, for the comparison with what istiod generates. */
import { JwtAuthentication } from '../../../shared/xds/filters/jwt-authn.ts';

type Json = Record<string, unknown>;

/** Undefined for other filters. Defaults are left out; keys and lists of claims are compared by value. */
export function jwtMeaning(filter: Json): unknown {
  const { '@type': type, ...config } = (filter['typedConfig'] ?? {}) as Json;
  if (!String(type).endsWith('JwtAuthentication')) return undefined;
  const { providers = {}, rules, ...rest } = JwtAuthentication.parse(config);
  return {
    ...rest,
    rules,
    providers: Object.entries(providers)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { localJwks, forward, clearRouteCache, ...provider }]) => [
        name,
        {
          ...Object.fromEntries(Object.entries(provider).sort(([a], [b]) => (a < b ? -1 : 1))),
          keys: JSON.parse(localJwks?.inlineString ?? 'null') as unknown,
          forward: forward ?? false,
          clearRouteCache: clearRouteCache ?? false,
        },
      ]),
  };
}
