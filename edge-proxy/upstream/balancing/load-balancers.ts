/** Choosing one endpoint among those that may be used: Envoy's ROUND_ROBIN, LEAST_REQUEST and RANDOM, weighted. */
import type { Endpoint } from '../cluster.ts';

/** Chooses among `hosts`, which is never empty and changes only when health or config does. */
export type Chooser = (hosts: readonly Endpoint[]) => Endpoint;

/** A host's weight now: lower than configured while it warms up. */
export type WeightOf = (host: Endpoint) => number;

export type Policy = 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM';

export interface ChooserOptions {
  readonly random: () => number;
  /** LEAST_REQUEST: how many are compared. */
  readonly choiceCount?: number;
  /** LEAST_REQUEST among unequal weights: a weight is divided by (requests + 1) to this power. */
  readonly activeRequestBias?: number;
  /** Present with slow start. */
  readonly weightOf?: WeightOf | undefined;
}

export function chooser(policy: Policy, options: ChooserOptions): Chooser {
  const { random, weightOf = configuredWeight } = options;
  if (policy === 'ROUND_ROBIN') return roundRobin(random, weightOf);
  if (policy === 'LEAST_REQUEST')
    return leastRequest(random, options.choiceCount ?? 2, options.activeRequestBias ?? 1, weightOf);
  return (hosts) => weightedRandom(hosts, random, weightOf);
}

function configuredWeight(host: Endpoint): number {
  return host.weight;
}

function weightedRandom(hosts: readonly Endpoint[], random: () => number, weightOf: WeightOf): Endpoint {
  if (equalWeights(hosts, weightOf)) return hosts[Math.floor(random() * hosts.length)]!;
  let total = 0;
  for (const host of hosts) total += weightOf(host);
  let at = random() * total;
  for (const host of hosts) {
    at -= weightOf(host);
    if (at < 0) return host;
  }
  return hosts[hosts.length - 1]!;
}

/** Smooth weighted round robin: each host gives its weight per round, the one ahead is taken and pays the total. */
function roundRobin(random: () => number, weightOf: WeightOf): Chooser {
  // A random start keeps many proxies from going in step.
  let turn = Math.floor(random() * 1024);
  const credit = new WeakMap<Endpoint, number>();
  return (hosts) => {
    if (equalWeights(hosts, weightOf)) return hosts[turn++ % hosts.length]!;
    let total = 0;
    let best = hosts[0]!;
    let most = Number.NEGATIVE_INFINITY;
    for (const host of hosts) {
      const weight = weightOf(host);
      total += weight;
      const now = (credit.get(host) ?? 0) + weight;
      credit.set(host, now);
      if (now > most) {
        most = now;
        best = host;
      }
    }
    credit.set(best, most - total);
    return best;
  };
}

/**
 * Of `choiceCount` drawn at random, the one with the fewest requests under way. With unequal weights a draw among all,
 * each weighing weight / (requests + 1)^bias, as Envoy's schedule comes out.
 */
function leastRequest(random: () => number, choiceCount: number, bias: number, weightOf: WeightOf): Chooser {
  const loaded: WeightOf = (host) => weightOf(host) / (host.active + 1) ** bias;
  return (hosts) => {
    if (hosts.length === 1) return hosts[0]!;
    if (!equalWeights(hosts, weightOf)) return weightedRandom(hosts, random, loaded);
    let best = hosts[Math.floor(random() * hosts.length)]!;
    for (let i = 1; i < choiceCount; i++) {
      const other = hosts[Math.floor(random() * hosts.length)]!;
      if (other.active < best.active) best = other;
    }
    return best;
  };
}

function equalWeights(hosts: readonly Endpoint[], weightOf: WeightOf): boolean {
  const first = weightOf(hosts[0]!);
  for (let i = 1; i < hosts.length; i++) if (weightOf(hosts[i]!) !== first) return false;
  return true;
}
