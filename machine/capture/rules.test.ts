import { describe, expect, it } from 'vitest';
import type { CaptureOptions } from './capture-options.ts';
import { iptablesRules } from './iptables-rules.ts';
import { nftRules } from './nft-rules.ts';

const defaults: CaptureOptions = {
  proxyUid: 1337,
  outbound: {
    includeIPRanges: '*',
    excludeIPRanges: ['192.0.2.0/24'],
    includePorts: [],
    excludePorts: [],
    excludeInterfaces: [],
    excludeUids: [],
    excludeGids: [],
    withoutProxy: 'shut',
  },
  inbound: { includePorts: [8080], excludePorts: [] },
  dnsPort: undefined,
  ipv6: true,
};

describe('rules', () => {
  const wrong: [string, CaptureOptions][] = [
    ['proxyUid', { ...defaults, proxyUid: 0 }],
    ['dnsPort', { ...defaults, dnsPort: 70_000 }],
    ['dnsServers', { ...defaults, dnsServers: ['1.1.1.1 accept'] }],
    ['outbound.excludeUids', { ...defaults, outbound: { ...defaults.outbound, excludeUids: [-1] } }],
    ['outbound.excludeInterfaces', { ...defaults, outbound: { ...defaults.outbound, excludeInterfaces: ['a b'] } }],
    ['outbound.excludeIPRanges', { ...defaults, outbound: { ...defaults.outbound, excludeIPRanges: ['x;flush'] } }],
  ];
  it.each(wrong)('refuse %s', (field, options) => {
    for (const rules of [() => nftRules(options), () => iptablesRules(options, 4, new Set())])
      expect(rules).toThrow(new RegExp(`^${field.replace('.', '\\.')}: `));
  });

  it('replace the whole table in one document', () => {
    expect(nftRules(defaults)).toMatch(/^add table inet tulle\ndelete table inet tulle\ntable inet tulle \{\n/);
    expect(nftRules(defaults)).not.toMatch(/without_dns|chain dns/);
    expect(nftRules({ ...defaults, ipv6: false })).not.toMatch(/ip6 |::1/);
  });

  it('exempt a whole family by /0 alone', () => {
    const outbound = { ...defaults.outbound, excludeIPRanges: ['0.0.0.0/0'] };
    expect(nftRules({ ...defaults, outbound })).toContain('    meta nfproto ipv4 accept\n');
  });

  it('of iptables split long lists of ports, and add each jump once', () => {
    const excludePorts = Array.from({ length: 20 }, (_, i) => 100 + i);
    const rules = iptablesRules(
      { ...defaults, outbound: { ...defaults.outbound, excludePorts } },
      4,
      new Set(['mangle/OUTPUT']),
    );
    expect(rules.match(/-A TULLE_OUTPUT .*--dports/g)).toHaveLength(2);
    expect(rules).not.toContain('-I OUTPUT 1 -j TULLE_OUTPUT');
    expect(rules).toContain('-I PREROUTING 1 -j TULLE_PREROUTING');
  });
});
