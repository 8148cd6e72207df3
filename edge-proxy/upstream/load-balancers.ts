/** Choosing one endpoint among those that may be used: Envoy's ROUND_ROBIN, LEAST_REQUEST and RANDOM, weighted. */
import type { Endpoint } from './cluster.ts';

/** Chooses among `hosts`, which is never empty and changes only when health or config does. */
export type Chooser = (hosts: readonly Endpoint[]) => Endpoint;

export type Policy = 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM';

export function chooser(policy: Policy, random: () => number, choiceCount = 2): Chooser {
  if (policy === 'ROUND_ROBIN') return roundRobin(random);
  if (policy === 'LEAST_REQUEST') return leastRequest(random, choiceCount);
  return (hosts) => weightedRandom(hosts, random);
}

function weightedRandom(hosts: readonly Endpoint[], random: () => number): Endpoint {
  let total = 0;
  let equal = true;
  const first = hosts[0]!.weight;
  for (const host of hosts) {
    total += host.weight;
    if (host.weight !== first) equal = false;
  }
  if (equal) return hosts[Math.floor(random() * hosts.length)]!;
  let at = random() * total;
  for (const host of hosts) {
    at -= host.weight;
    if (at < 0) return host;
  }
  return hosts[hosts.length - 1]!;
}

/** Smooth weighted round robin: each host gives its weight per round, the one ahead is taken and pays the total. */
function roundRobin(random: () => number): Chooser {
  // A random start keeps many proxies from going in step.
  let turn = Math.floor(random() * 1024);
  const credit = new WeakMap<Endpoint, number>();
  return (hosts) => {
    if (equalWeights(hosts)) return hosts[turn++ % hosts.length]!;
    let total = 0;
    let best = hosts[0]!;
    let most = Number.NEGATIVE_INFINITY;
    for (const host of hosts) {
      total += host.weight;
      const now = (credit.get(host) ?? 0) + host.weight;
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

/** Of `choiceCount` drawn by weight, the one with the fewest requests under way. */
function leastRequest(random: () => number, choiceCount: number): Chooser {
  return (hosts) => {
    let best = weightedRandom(hosts, random);
    for (let i = 1; i < choiceCount; i++) {
      const other = weightedRandom(hosts, random);
      if (other.active < best.active) best = other;
    }
    return best;
  };
}

function equalWeights(hosts: readonly Endpoint[]): boolean {
  const first = hosts[0]!.weight;
  for (let i = 1; i < hosts.length; i++) if (hosts[i]!.weight !== first) return false;
  return true;
}
