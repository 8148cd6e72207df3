/**
 * The rules for hosts without nftables: one document for `iptables-restore --noflush` and one for `ip6tables-restore`. Each
 * table of a document is one transaction. Own chains (`TULLE_*`); a rule in OUTPUT and PREROUTING leads to them.
 *
 * They mean what nft-rules.ts says, with three differences: TPROXY drops the packet where it finds no listener, so that a connection
 * without a proxy times out instead of being refused; an open outbound connection passes with its second SYN, after a second;
 * and DNS queries without a proxy are refused.
 */
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { type CaptureOptions, type InboundCapture, NEVER_INBOUND, type OutboundCapture } from './capture-options.ts';
import { capturesInbound, checkOptions, familyOf, workloadPortsOf } from './check-options.ts';
import { OUTBOUND_MARK, PASSED_MARK, PASSTHROUGH_SOURCE_6, SELF_MARK } from './marks.ts';

export type Family = 4 | 6;

/** Built-in chain -> ours, by table. */
export const IPTABLES_JUMPS = [
  { table: 'mangle', from: 'OUTPUT', to: 'TULLE_OUTPUT' },
  { table: 'mangle', from: 'PREROUTING', to: 'TULLE_PREROUTING' },
  { table: 'mangle', from: 'POSTROUTING', to: 'TULLE_POSTROUTING' },
  { table: 'nat', from: 'OUTPUT', to: 'TULLE_DNS' },
] as const;

/** Ours, by table; a chain follows those that lead to it. */
export const IPTABLES_CHAINS = {
  mangle: [
    ...['TULLE_OUTPUT', 'TULLE_PREROUTING', 'TULLE_CAPTURE', 'TULLE_MARK'],
    ...['TULLE_SELF', 'TULLE_LOOPBACK', 'TULLE_PORTS', 'TULLE_INBOUND', 'TULLE_POSTROUTING'],
  ],
  nat: ['TULLE_DNS'],
} as const;

const SYN = '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN';
const NOT_SYN = '-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN';
const hex = (mark: number): string => `0x${mark.toString(16)}`;
const bit = (mark: number): string => `${hex(mark)}/${hex(mark)}`;
const loopback = (family: Family): string => (family === 4 ? '127.0.0.0/8' : '::1/128');
const LISTENERS = `-m multiport --dports ${CAPTURE_PORTS.outbound},${CAPTURE_PORTS.inbound}`;
/** Of the extension: ports in a rule, a range counting as two. */
const MULTIPORT = 15;

/**
 * @param present jumps that are there already, as `table/chain`
 * @throws CaptureError naming a field that is wrong
 */
export function iptablesRules(options: CaptureOptions, family: Family, present: ReadonlySet<string>): string {
  checkOptions(options);
  const mangle = [
    ...append('TULLE_OUTPUT', outputRules(options, family)),
    ...append('TULLE_CAPTURE', [`-j CONNMARK --set-xmark ${bit(OUTBOUND_MARK)}`, '-g TULLE_MARK']),
    ...append('TULLE_MARK', [`-j MARK --set-xmark ${bit(OUTBOUND_MARK)}`]),
    ...append('TULLE_SELF', workloadPortRules(options.inbound, `-j MARK --set-xmark ${bit(SELF_MARK)}`)),
    ...append('TULLE_PREROUTING', preroutingRules(options)),
    ...append('TULLE_LOOPBACK', loopbackRules(family)),
    ...append('TULLE_PORTS', workloadPortRules(options.inbound, '-g TULLE_INBOUND')),
    ...append('TULLE_INBOUND', inboundRules(family)),
    ...append('TULLE_POSTROUTING', options.outbound.withoutProxy === 'open' ? [] : [STRAY]),
  ];
  const nat = options.dnsPort === undefined ? [] : append('TULLE_DNS', dnsRules(options, family));
  return [...table('mangle', mangle, present), ...table('nat', nat, present), ''].join('\n');
}

function table(name: 'mangle' | 'nat', lines: readonly string[], present: ReadonlySet<string>): string[] {
  const jumps = IPTABLES_JUMPS.filter((jump) => jump.table === name && !present.has(`${name}/${jump.from}`));
  return [
    `*${name}`,
    // Naming a chain makes or empties it.
    ...IPTABLES_CHAINS[name].map((chain) => `:${chain} - [0:0]`),
    ...lines,
    ...jumps.map(({ from, to }) => `-I ${from} 1 -j ${to}`),
    'COMMIT',
  ];
}

const append = (chain: string, lines: readonly string[]): string[] => lines.map((line) => `-A ${chain} ${line}`);

function outputRules({ proxyUid, outbound, inbound, dnsPort }: CaptureOptions, family: Family): string[] {
  return [
    ...(outbound.withoutProxy === 'open' ? openRules() : []),
    `-p tcp -m conntrack --ctdir ORIGINAL -m connmark --mark ${bit(OUTBOUND_MARK)} -g TULLE_MARK`,
    '! -p tcp -j RETURN',
    ...(capturesInbound(inbound) ? [selfRule(proxyUid, family)] : []),
    `${NOT_SYN} -j RETURN`,
    '-o lo -j RETURN',
    ...ownerRules(proxyUid, outbound),
    ...outbound.excludeInterfaces.map((name) => `-o ${wildcard(name)} -j RETURN`),
    // Port 53 is the name server's, by the chain TULLE_DNS.
    ...portRules([...outbound.excludePorts, ...(dnsPort === undefined ? [] : [53])], '-j RETURN'),
    ...rangeRules(outbound.excludeIPRanges, family, '-j RETURN'),
    ...includeRules(outbound, family),
  ];
}

/** Captured packets whose routing rule is missing: something else on the host removed it. */
const STRAY = `-p tcp -m mark --mark ${bit(OUTBOUND_MARK)} -m conntrack --ctdir ORIGINAL ! -o lo -j DROP`;

/** A second SYN of a connection that was not answered: no proxy listens, and the connection passes. */
function openRules(): string[] {
  const passed = `${hex(PASSED_MARK)}/${hex(PASSED_MARK | OUTBOUND_MARK)}`;
  return [
    `${SYN} -m connmark --mark ${bit(OUTBOUND_MARK)} -m conntrack --ctdir ORIGINAL ! --ctstatus SEEN_REPLY -j CONNMARK --set-xmark ${passed}`,
    `-p tcp -m connmark --mark ${bit(PASSED_MARK)} -j RETURN`,
  ];
}

/** The proxy calls its own workload by the address of a service: as nft-rules.ts says. */
function selfRule(proxyUid: number, family: Family): string {
  const source = family === 4 ? loopback(4) : `${PASSTHROUGH_SOURCE_6}/128`;
  return `-p tcp -o lo -m owner --uid-owner ${proxyUid} ! -s ${source} ! -d ${loopback(family)} -g TULLE_SELF`;
}

function includeRules({ includeIPRanges, includePorts }: OutboundCapture, family: Family): string[] {
  if (includeIPRanges === '*') return ['-p tcp -g TULLE_CAPTURE'];
  return [
    ...portRules(includePorts, '-g TULLE_CAPTURE'),
    ...rangeRules(includeIPRanges, family, '-g TULLE_CAPTURE').map((rule) => `-p tcp ${rule}`),
  ];
}

function preroutingRules({ outbound, inbound }: CaptureOptions): string[] {
  return [
    '-i lo -g TULLE_LOOPBACK',
    '! -p tcp -j RETURN',
    '-m conntrack --ctdir REPLY -j RETURN',
    `${SYN} ${LISTENERS} -m addrtype --dst-type LOCAL -j DROP`,
    ...outbound.excludeInterfaces.map((name) => `-i ${wildcard(name)} -j RETURN`),
    ...(capturesInbound(inbound) ? ['-p tcp -m addrtype --dst-type LOCAL -g TULLE_PORTS'] : []),
  ];
}

function workloadPortRules(inbound: InboundCapture, verdict: string): string[] {
  const { ssh, firstOfMesh, lastOfMesh } = NEVER_INBOUND;
  const ports = workloadPortsOf(inbound);
  if ('only' in ports) return portRules(ports.only, verdict);
  const never = [`-p tcp -m multiport --dports ${ssh},${firstOfMesh}:${lastOfMesh} -j RETURN`];
  return [...never, ...portRules(ports.allBut, '-j RETURN'), `-p tcp ${verdict}`];
}

const loopbackRules = (family: Family): string[] => [
  `-p tcp -m mark --mark ${bit(OUTBOUND_MARK)} ${toListener(CAPTURE_PORTS.outbound, family)}`,
  `-p tcp -m mark --mark ${bit(SELF_MARK)} -g TULLE_INBOUND`,
  `${SYN} ${LISTENERS} -j DROP`,
];

/** Connections that began before capture continue: TPROXY would drop their packets. */
const inboundRules = (family: Family): string[] => [
  `${SYN} -j CONNMARK --set-xmark ${bit(SELF_MARK)}`,
  `-m connmark ! --mark ${bit(SELF_MARK)} -j RETURN`,
  `-p tcp ${toListener(CAPTURE_PORTS.inbound, family)}`,
];

const toListener = (port: number, family: Family): string =>
  `-j TPROXY --on-port ${port} --on-ip ${family === 4 ? '127.0.0.1' : '::1'}`;

function dnsRules({ proxyUid, outbound, dnsPort, dnsServers }: CaptureOptions, family: Family): string[] {
  const redirect = ['udp', 'tcp'].map((protocol) => `-p ${protocol} --dport 53 -j REDIRECT --to-ports ${dnsPort}`);
  const servers = dnsServers?.filter((server) => familyOf(server) === family);
  return [
    ...ownerRules(proxyUid, outbound),
    ...(servers ? servers.flatMap((server) => redirect.map((rule) => `-d ${server} ${rule}`)) : redirect),
  ];
}

const ownerRules = (proxyUid: number, { excludeUids, excludeGids }: OutboundCapture): string[] => [
  ...[proxyUid, ...excludeUids].map((uid) => `-m owner --uid-owner ${uid} -j RETURN`),
  ...excludeGids.map((gid) => `-m owner --gid-owner ${gid} -j RETURN`),
];

const wildcard = (name: string): string => name.replace(/\*$/, '+');

const rangeRules = (ranges: readonly string[], family: Family, verdict: string): string[] =>
  ranges.filter((range) => familyOf(range) === family).map((range) => `-d ${range} ${verdict}`);

function portRules(ports: readonly number[], verdict: string): string[] {
  const chunks = Array.from({ length: Math.ceil(ports.length / MULTIPORT) }, (_, i) =>
    ports.slice(i * MULTIPORT, (i + 1) * MULTIPORT),
  );
  return chunks.map((chunk) => `-p tcp -m multiport --dports ${chunk.join(',')} ${verdict}`);
}
