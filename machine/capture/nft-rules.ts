/**
 * The rules as one nftables document, applied by `nft -f -` in one transaction: all or nothing, and the same again after a
 * second run. A table of its own (`inet tulle`); no other is touched, and `accept` ends a packet's way through these chains only.
 *
 * A connection is captured by its first packet (SYN), which marks it in conntrack; packets of connections that began
 * before, and replies of local servers (SSH), are left alone. TPROXY keeps the original destination as the accepted socket's
 * local address.
 */
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { type CaptureOptions, type InboundCapture, NEVER_INBOUND, type OutboundCapture } from './capture-options.ts';
import { capturesInbound, checkOptions, familyOf, workloadPortsOf } from './check-options.ts';
import { OPEN_SECONDS, OUTBOUND_MARK, SELF_MARK } from './marks.ts';

export const NFT_TABLE = 'inet tulle';

const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';
const RESET = 'reject with tcp reset';
const hex = (bits: number): string => `0x${(bits >>> 0).toString(16)}`;
const has = (mark: string, bit: number): string => `${mark} and ${hex(bit)} == ${hex(bit)}`;
const set = (mark: string, bit: number): string => `${mark} set ${mark} or ${hex(bit)}`;
const clear = (mark: string, bit: number): string => `${mark} set ${mark} and ${hex(~bit)}`;
const anyOf = (values: readonly (string | number)[]): string => `{ ${[...new Set(values)].join(', ')} }`;
const quoted = (names: readonly string[]): string[] => names.map((name) => `"${name.replace(/\+$/, '*')}"`);

/** @throws CaptureError naming a field that is wrong */
export function nftRules(options: CaptureOptions): string {
  checkOptions(options);
  const open = options.outbound.withoutProxy === 'open';
  const dns = options.dnsPort !== undefined;
  const chains = [
    chain('output', 'type route hook output priority mangle; policy accept;', outputRules(options, open)),
    chain('prerouting', 'type filter hook prerouting priority mangle; policy accept;', preroutingRules(options)),
    chain('loopback', '', loopbackRules(options, open && dns)),
    chain('inbound', '', inboundRules(options)),
    chain('outbound', '', outboundRules(options, open)),
    ...(open ? [] : [chain('postrouting', 'type filter hook postrouting priority mangle; policy accept;', STRAY)]),
    ...(dns ? [chain('dns', 'type nat hook output priority -105; policy accept;', dnsRules(options, open))] : []),
  ];
  return [
    // The first line lets the second one succeed where there is no table yet.
    `add table ${NFT_TABLE}`,
    `delete table ${NFT_TABLE}`,
    `table ${NFT_TABLE} {`,
    ...COUNTERS.map((name) => `  counter ${name} { }`),
    ...(open ? [downSet('without_proxy'), ...(dns ? [downSet('without_dns')] : [])] : []),
    ...chains,
    '}',
    '',
  ].join('\n');
}

/** Names of the table's counters: connections captured, connections without a proxy, queries redirected. */
export const COUNTERS = [
  'outbound_connections',
  'inbound_connections',
  'without_proxy_connections',
  'dns_queries',
] as const;

/** A flag that the kernel takes back by itself: it holds the protocol's number, or nothing. */
const downSet = (name: string): string =>
  `  set ${name} { type inet_proto; size 4; flags dynamic,timeout; timeout ${OPEN_SECONDS}s; }`;

const chain = (name: string, hook: string, rules: readonly string[]): string =>
  [`  chain ${name} {`, ...(hook ? [`    ${hook}`] : []), ...rules.map((rule) => `    ${rule}`), '  }'].join('\n');

/** Packets of this host's own sockets. */
function outputRules({ proxyUid, outbound, inbound, dnsPort, ipv6 }: CaptureOptions, open: boolean): string[] {
  return [
    `ct direction original ${has('ct mark', OUTBOUND_MARK)} ${set('meta mark', OUTBOUND_MARK)} accept`,
    'meta l4proto != tcp accept',
    ...selfRules(proxyUid, inbound, ipv6),
    `${SYN.replace('==', '!=')} accept`,
    // To this host itself, loopback included.
    'oif lo accept',
    ...(ipv6 ? [] : ['meta nfproto ipv6 accept']),
    `meta skuid ${anyOf([proxyUid, ...outbound.excludeUids])} accept`,
    ...(outbound.excludeGids.length > 0 ? [`meta skgid ${anyOf(outbound.excludeGids)} accept`] : []),
    ...interfaceRules('oifname', outbound.excludeInterfaces),
    // Port 53 is the name server's, by the chain `dns`.
    ...portRules([...outbound.excludePorts, ...(dnsPort === undefined ? [] : [53])], 'accept'),
    ...rangeRules(outbound.excludeIPRanges, 'accept'),
    ...(open ? ['meta l4proto @without_proxy accept'] : []),
    ...includeRules(outbound),
  ];
}

function includeRules({ includeIPRanges, includePorts }: OutboundCapture): string[] {
  const capture = `counter name outbound_connections ${set('ct mark', OUTBOUND_MARK)} ${set('meta mark', OUTBOUND_MARK)} accept`;
  if (includeIPRanges === '*') return [capture];
  return [...portRules(includePorts, capture), ...rangeRules(includeIPRanges, capture)];
}

/**
 * The proxy calls its own workload by the address of a service: as from another host, by its inbound listener. What the
 * proxy hands to the application comes from 127.0.0.6, ::6 or goes to loopback, and is left alone.
 */
function selfRules(proxyUid: number, inbound: InboundCapture, ipv6: boolean): string[] {
  if (!capturesInbound(inbound)) return [];
  const mine = `oif lo meta skuid ${proxyUid} ${workloadPorts(inbound)}`;
  const mark = `${set('meta mark', SELF_MARK)} accept`;
  return [
    `${mine} ip saddr != 127.0.0.0/8 ip daddr != 127.0.0.0/8 ${mark}`,
    ...(ipv6 ? [`${mine} ip6 saddr != { ::1, ::6 } ip6 daddr != ::1 ${mark}`] : []),
  ];
}

/** Packets that arrive. */
function preroutingRules({ outbound, inbound, ipv6 }: CaptureOptions): string[] {
  return [
    'iif lo goto loopback',
    'meta l4proto != tcp accept',
    'ct direction reply accept',
    // Also by an excluded interface: the listeners are for captured connections alone.
    `tcp dport ${LISTENERS} ${SYN} fib daddr type local ${RESET}`,
    ...(ipv6 ? [] : ['meta nfproto ipv6 accept']),
    ...interfaceRules('iifname', outbound.excludeInterfaces),
    ...(capturesInbound(inbound) ? [`${workloadPorts(inbound)} fib daddr type local goto inbound`] : []),
  ];
}

const LISTENERS = anyOf([CAPTURE_PORTS.outbound, CAPTURE_PORTS.inbound]);

function workloadPorts(inbound: InboundCapture): string {
  const { ssh, firstOfMesh, lastOfMesh } = NEVER_INBOUND;
  const ports = workloadPortsOf(inbound);
  if ('only' in ports) return `tcp dport ${anyOf(ports.only)}`;
  return `tcp dport != ${anyOf([ssh, `${firstOfMesh}-${lastOfMesh}`, ...ports.allBut])}`;
}

/** Packets of this host to itself, captured ones among them: those were routed to the loopback interface. */
function loopbackRules({ dnsPort }: CaptureOptions, openDns: boolean): string[] {
  return [
    `${has('meta mark', OUTBOUND_MARK)} goto outbound`,
    `${has('meta mark', SELF_MARK)} goto inbound`,
    `tcp dport ${LISTENERS} ${SYN} ${RESET}`,
    // Of a redirected query whose server is absent: the next queries are left alone for a while.
    ...(openDns
      ? [`udp dport ${dnsPort} socket wildcard 0 accept`, `udp dport ${dnsPort} socket wildcard 1 accept`]
      : []),
    ...(openDns ? [`udp dport ${dnsPort} add @without_dns { meta l4proto } reject`] : []),
  ];
}

function inboundRules({ ipv6 }: CaptureOptions): string[] {
  return [
    `${SYN} counter name inbound_connections`,
    ...toListener(CAPTURE_PORTS.inbound, ipv6),
    // No proxy listens. Connections that began before capture continue.
    `${SYN} counter name without_proxy_connections ${RESET}`,
  ];
}

/** Captured packets whose routing rule is missing: something else on the host removed it. */
const STRAY = [`${has('meta mark', OUTBOUND_MARK)} ct direction original oif != lo drop`];

function outboundRules({ ipv6 }: CaptureOptions, open: boolean): string[] {
  const count = 'counter name without_proxy_connections';
  return [
    ...toListener(CAPTURE_PORTS.outbound, ipv6),
    // The client sends its SYN again after a second, and that one passes.
    ...(open ? [`${SYN} ${count} add @without_proxy { meta l4proto } ${clear('ct mark', OUTBOUND_MARK)} drop`] : []),
    `${count} ${RESET}`,
  ];
}

/** TPROXY finds the connection's socket, else the listener's; where there is none, the rule does not match. */
const toListener = (port: number, ipv6: boolean): string[] => [
  `meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:${port} accept`,
  ...(ipv6 ? [`meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:${port} accept`] : []),
];

function dnsRules({ proxyUid, outbound, dnsPort, dnsServers, ipv6 }: CaptureOptions, open: boolean): string[] {
  const redirect = `meta l4proto { tcp, udp } th dport 53 counter name dns_queries redirect to :${dnsPort}`;
  return [
    'meta l4proto != { tcp, udp } accept',
    'th dport != 53 accept',
    ...(ipv6 ? [] : ['meta nfproto ipv6 accept']),
    `meta skuid ${anyOf([proxyUid, ...outbound.excludeUids])} accept`,
    ...(outbound.excludeGids.length > 0 ? [`meta skgid ${anyOf(outbound.excludeGids)} accept`] : []),
    ...(open ? ['udp dport 53 meta l4proto @without_dns accept'] : []),
    ...(dnsServers === undefined ? [redirect] : rangeRules(dnsServers, redirect)),
  ];
}

const interfaceRules = (key: string, names: readonly string[]): string[] =>
  names.length > 0 ? [`${key} ${anyOf(quoted(names))} accept`] : [];

const portRules = (ports: readonly number[], verdict: string): string[] =>
  ports.length > 0 ? [`tcp dport ${anyOf(ports)} ${verdict}`] : [];

function rangeRules(ranges: readonly string[], verdict: string): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const own = ranges.filter((range) => familyOf(range) === family);
    if (own.some((range) => range.endsWith('/0'))) return [`meta nfproto ipv${family} ${verdict}`];
    return own.length > 0 ? [`${family === 4 ? 'ip' : 'ip6'} daddr ${anyOf(own)} ${verdict}`] : [];
  });
}
