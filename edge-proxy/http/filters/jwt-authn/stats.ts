/**
 * Envoy's counters of jwt_authn, `http.<stat prefix>.jwt_authn.…` (envoyproxy.io: JWT Authentication, Statistics). Those of
 * JWKS fetches have no value in a proxy: the control plane fetches key sets.
 */

interface Counter {
  value: number;
}

export interface JwtStats {
  readonly allowed: Counter;
  readonly denied: Counter;
  /** Preflight requests that were asked for no token; they count as allowed, too. */
  readonly corsPreflightBypassed: Counter;
  /** Tokens that were verified before, and all others. */
  readonly cacheHit: Counter;
  readonly cacheMiss: Counter;
}

/**
 * @param counter of a name behind the connection manager's; undefined: nothing reads them
 * @param scope what the names begin with: `jwt_authn`
 */
export function jwtStats(counter: ((name: string) => Counter) | undefined, scope: string): JwtStats {
  const of = (name: string) => counter?.(`${scope}.${name}`) ?? { value: 0 };
  return {
    allowed: of('allowed'),
    denied: of('denied'),
    corsPreflightBypassed: of('cors_preflight_bypassed'),
    cacheHit: of('jwt_cache_hit'),
    cacheMiss: of('jwt_cache_miss'),
  };
}
