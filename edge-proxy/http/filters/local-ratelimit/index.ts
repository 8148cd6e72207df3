/** envoy.filters.http.local_ratelimit */
import { LocalRateLimit } from '../../../../shared/xds/filters/local-ratelimit.ts';
import { defineFilter } from '../definition.ts';
import { compileRateLimit, type RateLimit } from './compile.ts';
import { createRateLimitFilter } from './filter.ts';

const TYPE = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

export const localRatelimit = defineFilter<
  LocalRateLimit,
  LocalRateLimit,
  (env: Parameters<typeof compileRateLimit>[2]) => RateLimit
>({
  type: TYPE,
  schema: LocalRateLimit,
  route: {
    type: TYPE,
    schema: LocalRateLimit,
    // Checked with the routes; the filter, which has the counters, makes it when it is first used.
    compile: ([{ config, path }]) => {
      compileRateLimit(config, path, { now: () => 0 });
      return (env) => compileRateLimit(config, path, env);
    },
  },
  create: (config, { env, routeConfig }) => {
    const made = new WeakMap<object, RateLimit>();
    return createRateLimitFilter(
      compileRateLimit(config, '', env),
      (request) => {
        const make = routeConfig(request);
        if (!make) return undefined;
        let limit = made.get(make);
        if (!limit) made.set(make, (limit = make(env)));
        return limit;
      },
      env,
    );
  },
});
