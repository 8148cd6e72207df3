import { describe, expect, it } from 'vitest';
import type { FilterChainMatch } from '../../shared/xds/listener.ts';
import { type ConnectionFacts, compileChains } from './filter-chain.ts';

const facts = (over: Partial<ConnectionFacts>): ConnectionFacts => ({
  localAddress: '10.0.0.1',
  localPort: 80,
  remoteAddress: '10.0.0.9',
  remotePort: 4000,
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
  ...over,
});
const compile = (matches: Record<string, FilterChainMatch>, fallback?: string) =>
  compileChains(
    Object.entries(matches).map(([name, match]) => ({ name, match, chain: name })),
    fallback,
  );

describe('filter-chain match', () => {
  it('prefers the exact server name, then the longest wildcard, then none', () => {
    const find = compile({
      exact: { serverNames: ['a.b.example'] },
      near: { serverNames: ['*.b.example'] },
      far: { serverNames: ['*.example'] },
      any: {},
    });
    expect(find(facts({ serverName: 'a.b.example' }))).toBe('exact');
    expect(find(facts({ serverName: 'x.b.example' }))).toBe('near');
    expect(find(facts({ serverName: 'x.y.example' }))).toBe('far');
    expect(find(facts({ serverName: 'example' }))).toBe('any');
    expect(find(facts({}))).toBe('any');
  });

  it('prefers the longest prefix that holds the destination', () => {
    const find = compile(
      {
        wide: { prefixRanges: [{ addressPrefix: '10.0.0.0', prefixLen: 8 }] },
        narrow: { prefixRanges: [{ addressPrefix: '10.1.0.0', prefixLen: 16 }] },
      },
      'fallback',
    );
    expect(find(facts({ localAddress: '10.1.2.3' }))).toBe('narrow');
    expect(find(facts({ localAddress: '10.2.2.3' }))).toBe('wide');
    expect(find(facts({ localAddress: '192.168.0.1' }))).toBe('fallback');
    expect(find(facts({ localAddress: '::1' }))).toBe('fallback');
  });

  it('follows the most specific value and does not come back (Envoy)', () => {
    const find = compile({
      port: { destinationPort: 80, serverNames: ['only.example'] },
      any: {},
    });
    expect(find(facts({ serverName: 'only.example' }))).toBe('port');
    expect(find(facts({ serverName: 'other.example' }))).toBe(undefined);
    expect(find(facts({ localPort: 81 }))).toBe('any');
  });

  it("chooses as Istio's inbound permissive chains expect", () => {
    const find = compile({
      mtls: { destinationPort: 80, transportProtocol: 'tls', applicationProtocols: ['istio', 'istio-http/1.1'] },
      tls: { destinationPort: 80, transportProtocol: 'tls' },
      plain: { destinationPort: 80, transportProtocol: 'raw_buffer' },
    });
    expect(find(facts({ transportProtocol: 'tls', applicationProtocols: ['h2', 'istio'] }))).toBe('mtls');
    expect(find(facts({ transportProtocol: 'tls', applicationProtocols: ['h2'] }))).toBe('tls');
    expect(find(facts({}))).toBe('plain');
  });

  it('judges the source: type, range and port', () => {
    const find = compile({
      local: { sourceType: 'SAME_IP_OR_LOOPBACK' },
      near: { sourceType: 'EXTERNAL', sourcePrefixRanges: [{ addressPrefix: '10.0.0.0', prefixLen: 24 }] },
      port: {
        sourceType: 'EXTERNAL',
        sourcePrefixRanges: [{ addressPrefix: '10.0.0.0', prefixLen: 24 }],
        sourcePorts: [4001],
      },
    });
    expect(find(facts({ remoteAddress: '127.0.0.1' }))).toBe('local');
    expect(find(facts({ remoteAddress: '10.0.0.1' }))).toBe('local');
    expect(find(facts({}))).toBe('near');
    expect(find(facts({ remotePort: 4001 }))).toBe('port');
    expect(find(facts({ remoteAddress: '11.0.0.1' }))).toBe(undefined);
  });

  it('refuses chains that overlap and malformed criteria', () => {
    expect(() => compile({ a: { serverNames: ['x'] }, b: { serverNames: ['X'] } })).toThrow(/matches the same/);
    expect(() => compile({ a: { serverNames: ['a.*.example'] } })).toThrow(/only a leading/);
    expect(() => compile({ a: { prefixRanges: [{ addressPrefix: 'ten', prefixLen: 8 }] } })).toThrow(/not an IP/);
  });
});
