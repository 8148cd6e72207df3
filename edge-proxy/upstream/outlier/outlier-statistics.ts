/** The detectors of outlier detection that compare the hosts of a cluster once per interval (Envoy's success rate and failure percentage). */

/** What a host answered in one interval. */
export interface Tally {
  total: number;
  success: number;
}

export interface StatisticsRules {
  readonly successMinimumHosts: number;
  readonly successVolume: number;
  /** Standard deviations below the mean at which a host stands out. */
  readonly deviations: number;
  readonly failureMinimumHosts: number;
  readonly failureVolume: number;
  /** Percent of failures from which a host is bad. */
  readonly failureThreshold: number;
}

export interface Findings<Host> {
  readonly bySuccessRate: readonly Host[];
  readonly byFailurePercentage: readonly Host[];
}

/** @param tallies of the hosts that are not ejected */
export function findOutliers<Host>(
  tallies: readonly (readonly [Host, Tally])[],
  hostCount: number,
  rules: StatisticsRules,
): Findings<Host> {
  const rated = tallies
    .filter(([, { total }]) => total > 0)
    .map(([host, tally]) => ({ host, ...tally, rate: rate(tally) }));
  const enough = hostCount >= rules.successMinimumHosts;
  const compared = enough ? rated.filter(({ total }) => total >= rules.successVolume) : [];
  const judged = rated.filter(({ total }) => total >= rules.failureVolume);
  const least = compared.length >= rules.successMinimumHosts ? threshold(compared, rules.deviations) : 0;
  return {
    bySuccessRate: compared.filter((one) => one.rate < least).map(({ host }) => host),
    byFailurePercentage:
      judged.length >= rules.failureMinimumHosts
        ? judged.filter((one) => 100 - one.rate >= rules.failureThreshold).map(({ host }) => host)
        : [],
  };
}

function rate({ success, total }: Tally): number {
  return (100 * success) / total;
}

function threshold(hosts: readonly { rate: number }[], deviations: number): number {
  if (hosts.length === 0) return 0;
  const mean = hosts.reduce((sum, one) => sum + one.rate, 0) / hosts.length;
  const variance = hosts.reduce((sum, one) => sum + (one.rate - mean) ** 2, 0) / hosts.length;
  return mean - deviations * Math.sqrt(variance);
}
