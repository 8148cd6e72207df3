/** Who puts the rules into the kernel: nftables, or iptables where that is missing. */
import { CaptureError, type CaptureOptions } from './capture-options.ts';
import { demand, find, run } from './commands.ts';
import { type Family, IPTABLES_CHAINS, IPTABLES_JUMPS, iptablesRules } from './iptables-rules.ts';
import { COUNTERS, NFT_TABLE, nftRules } from './nft-rules.ts';

/** `iptables` is the host's own choice of the two that follow. */
export const BACK_ENDS = ['nft', 'iptables', 'iptables-nft', 'iptables-legacy'] as const;
export type BackEndName = (typeof BACK_ENDS)[number];

export interface BackEnd {
  readonly name: BackEndName;
  /** Puts the rules in the place of earlier ones. @throws CaptureError; the earlier ones are in force then */
  apply(options: CaptureOptions): void;
  remove(): void;
  /** Whether rules are there. */
  present(): boolean;
  /** Connections and queries since the rules were applied, by name. */
  counters(): Readonly<Record<string, number>>;
}

/** The best one found, or the one that is named. @throws CaptureError where it is not installed */
export function backEnd(name?: BackEndName): BackEnd {
  const found = name ?? (find('nft') ? 'nft' : find('iptables-restore') ? 'iptables' : undefined);
  if (!found) throw new CaptureError('capture: neither nft nor iptables is installed; install the package nftables');
  if (!find(found)) throw new CaptureError(`capture: ${found} is not installed`);
  return found === 'nft' ? nft : iptables(found);
}

const nft: BackEnd = {
  name: 'nft',
  apply: (options) => void demand('nft', ['-f', '-'], nftRules(options)),
  remove: () => void demand('nft', ['delete', 'table', ...NFT_TABLE.split(' ')]),
  present: () => run('nft', ['list', 'tables']).out.split('\n').includes(`table ${NFT_TABLE}`),
  counters: () => Object.fromEntries(COUNTERS.map((name) => [name, nftCounter(name)])),
};

function nftCounter(name: string): number {
  const { out } = run('nft', ['list', 'counter', ...NFT_TABLE.split(' '), name]);
  return Number(/packets (\d+)/.exec(out)?.[1] ?? 0);
}

/** Of a variant, the program for a family: `ip6tables-legacy-restore`. */
const program = (name: BackEndName, family: Family, what: '' | '-restore'): string =>
  (family === 4 ? name : name.replace('iptables', 'ip6tables')) + what;

function iptables(name: BackEndName): BackEnd {
  const families = ([4, 6] as const).filter((family) => find(program(name, family, '')));
  const present = (family: Family): Set<string> => jumpsPresent(program(name, family, ''));
  const apply = (options: CaptureOptions, family: Family) => {
    const rules = iptablesRules(options, family, present(family));
    demand(program(name, family, '-restore'), ['--noflush'], rules);
  };
  return {
    name,
    apply(options) {
      const wanted = ([4, 6] as const).filter((family) => family === 4 || options.ipv6);
      try {
        for (const family of wanted) apply(options, family);
      } catch (error) {
        // The tables of a family are transactions of their own: half of the rules is worse than none.
        for (const family of families) removeChains(program(name, family, ''));
        throw error;
      }
      for (const family of families) if (!wanted.includes(family)) removeChains(program(name, family, ''));
    },
    remove: () => families.forEach((family) => void removeChains(program(name, family, ''))),
    present: () => families.some((family) => present(family).size > 0),
    counters: () => ({}),
  };
}

/** As `table/chain`. */
const jumpsPresent = (command: string): Set<string> =>
  new Set(
    IPTABLES_JUMPS.filter(({ table, from, to }) => run(command, ['-t', table, '-C', from, '-j', to]).ok).map(
      ({ table, from }) => `${table}/${from}`,
    ),
  );

function removeChains(command: string): void {
  for (const { table, from, to } of IPTABLES_JUMPS)
    while (run(command, ['-t', table, '-C', from, '-j', to]).ok) demand(command, ['-t', table, '-D', from, '-j', to]);
  for (const [table, chains] of Object.entries(IPTABLES_CHAINS)) {
    // iptables deletes a chain only when no rule jumps to it.
    for (const chain of chains) run(command, ['-t', table, '-F', chain]);
    for (const chain of chains) run(command, ['-t', table, '-X', chain]);
  }
}
