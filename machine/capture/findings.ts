/** What on this host prevents capture, or redirects traffic besides it. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import type { CaptureOptions } from './capture-options.ts';
import { find, run } from './commands.ts';
import { NFT_TABLE, nftRules } from './nft-rules.ts';
import { foreignRules } from './policy-routes.ts';

export interface CaptureFinding {
  /** `error`: capture cannot be turned on. */
  readonly severity: 'error' | 'warning';
  /** One line. */
  readonly message: string;
  readonly remedy: string;
}

/** @param options what is to be captured; undefined: checks of the host alone */
export function captureFindings(options?: CaptureOptions): CaptureFinding[] {
  if (process.platform !== 'linux')
    return [error(`capture needs Linux, this is ${process.platform}`, 'use explicit mode (http_proxy)')];
  const blocking = [...programFindings(), ...rightFindings()];
  if (blocking.length > 0) return blocking;
  const ruleset = find('nft') ? run('nft', ['list', 'ruleset']).out : '';
  return [
    ...(options ? kernelFindings(options) : []),
    ...istioFindings(ruleset),
    ...redirectFindings(ruleset),
    ...routeFindings(options?.ipv6 ?? hasIpv6()),
    ...(options ? dockerFindings(options, ruleset) : []),
  ];
}

const error = (message: string, remedy: string): CaptureFinding => ({ severity: 'error', message, remedy });
const warning = (message: string, remedy: string): CaptureFinding => ({ severity: 'warning', message, remedy });

/** Whether this host has IPv6 at all. */
export function hasIpv6(): boolean {
  try {
    return readFileSync('/proc/self/net/if_inet6', 'utf8').trim() !== '';
  } catch {
    return false;
  }
}

const CAP_NET_ADMIN = 12n;

/** Whether this process may change the rules of its network namespace. */
export function mayChangeRules(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

const programFindings = (): CaptureFinding[] => [
  ...(find('ip') ? [] : [error('ip is not installed', 'install the package iproute2')]),
  ...(find('nft') || find('iptables-restore')
    ? []
    : [error('neither nft nor iptables is installed', 'install the package nftables')]),
];

const rightFindings = (): CaptureFinding[] =>
  mayChangeRules()
    ? []
    : [
        error(
          'this user may not change the rules (CAP_NET_ADMIN)',
          'run it as root, or use http_proxy instead of capture',
        ),
      ];

/** The kernel judges the rules without applying them. */
function kernelFindings(options: CaptureOptions): CaptureFinding[] {
  if (!find('nft')) return [];
  const { ok, error: text } = run('nft', ['-c', '-f', '-'], nftRules(options));
  if (ok) return [];
  const remedy = 'load the modules nft_tproxy, nft_socket and nft_fib_inet, or use a kernel with them';
  return [error(`the kernel refuses the rules: ${text.trim().split('\n')[0]}`, remedy)];
}

function istioFindings(ruleset: string): CaptureFinding[] {
  const legacy = legacyTables() ? run('iptables-legacy-save', []).out : '';
  if (!/\bISTIO_(OUTPUT|INBOUND|REDIRECT|TPROXY|DIVERT)\b/.test(ruleset + legacy)) return [];
  return [error("Istio's rules redirect this host's traffic", 'remove them: "pilot-agent istio-clean-iptables"')];
}

/** Listing them would load their modules where they are unused. */
function legacyTables(): boolean {
  try {
    return readFileSync('/proc/self/net/ip_tables_names', 'utf8').trim() !== '';
  } catch {
    return false;
  }
}

/** Tables other than ours that redirect; Docker's DNAT is none of them. */
function redirectFindings(ruleset: string): CaptureFinding[] {
  return ruleset
    .split(/^(?=table )/m)
    .filter((table) => !table.startsWith(`table ${NFT_TABLE} `) && !/ISTIO_/.test(table))
    .filter((table) => /\b(tproxy (ip6? )?to|redirect( to|$)|REDIRECT|TPROXY)\b/m.test(table))
    .map((table) => {
      const name = /^table (\S+ \S+)/.exec(table)?.[1] ?? '';
      return warning(`the table "${name}" redirects traffic too`, 'exclude its ports, or remove that program');
    });
}

function routeFindings(ipv6: boolean): CaptureFinding[] {
  const foreign = ([4, 6] as const).flatMap((family) => foreignRules(family));
  const taken = foreign.map((line) => error(`another routing rule has our priority: ${line}`, 'move it ("ip rule")'));
  const routed = (ipv6 ? ['-4', '-6'] : ['-4']).some(
    (family) => run('ip', [family, 'route', 'show', 'default']).out !== '',
  );
  if (routed) return taken;
  const message = 'there is no default route: connections to virtual addresses fail before they are captured';
  return [...taken, warning(message, 'add one, as "ip route add default via ROUTER"')];
}

function dockerFindings({ outbound, inbound }: CaptureOptions, ruleset: string): CaptureFinding[] {
  const docker = /\bchain DOCKER\b/.test(ruleset);
  if (!docker || inbound.includePorts !== '*' || outbound.excludeInterfaces.some((name) => name.startsWith('docker')))
    return [];
  const remedy = 'name the workload\'s ports (--include-inbound-ports), or --exclude-interfaces "docker0,br-*"';
  return [warning('Docker publishes ports here, and every inbound port is captured', remedy)];
}
