import type { GrpcStats } from '../../../../shared/xds/http-filters.ts';
import { ConfigError } from '../../../config-error.ts';

export interface GrpcStatsRules {
  /** Metrics are given the numbers of messages. */
  readonly emits: boolean;
  /** Methods whose calls are counted by name; the others are counted together. */
  readonly named: 'all' | ReadonlySet<string>;
  /** Dots in the names of services become underscores. */
  readonly replacesDots: boolean;
}

/** Between the names of a service and of a method. */
const SLASH = '/';

export function methodKey(service: string, method: string): string {
  return `${service}${SLASH}${method}`;
}

/** @throws ConfigError naming the field */
export function compileGrpcStats(config: GrpcStats): GrpcStatsRules {
  const { individualMethodStatsAllowlist: allowlist, statsForAllMethods } = config;
  if (allowlist && statsForAllMethods !== undefined)
    throw new ConfigError('individualMethodStatsAllowlist', 'cannot be set together with statsForAllMethods');
  if (config.enableUpstreamStats)
    throw new ConfigError('enableUpstreamStats', 'is not supported: histograms of clusters are not kept here');
  const methods = (allowlist?.services ?? []).flatMap(({ name, methodNames }) =>
    methodNames.map((method) => methodKey(name, method)),
  );
  return {
    emits: config.emitFilterState === true,
    named: statsForAllMethods ? 'all' : new Set(methods),
    replacesDots: config.replaceDotsInGrpcServiceName === true,
  };
}
