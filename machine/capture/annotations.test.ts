import { describe, expect, it } from 'vitest';
import { captureOptionsOf } from './annotations.ts';
import type { CaptureOptions } from './capture-options.ts';

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
const of = (annotations: Record<string, string>) =>
  captureOptionsOf(
    Object.fromEntries(Object.entries(annotations).map(([name, text]) => [`traffic.sidecar.istio.io/${name}`, text])),
    defaults,
  );

describe("Istio's annotations", () => {
  it('are read, and what is absent keeps its default', () => {
    expect(captureOptionsOf({ 'sidecar.istio.io/inject': 'true' }, defaults)).toEqual(defaults);
    const options = captureOptionsOf(
      {
        'traffic.sidecar.istio.io/includeOutboundIPRanges': '10.0.0.0/8, fd00::/8,10.1.2.3',
        'traffic.sidecar.istio.io/excludeOutboundIPRanges': '',
        'traffic.sidecar.istio.io/includeOutboundPorts': '443',
        'traffic.sidecar.istio.io/excludeOutboundPorts': '25,587',
        'traffic.sidecar.istio.io/includeInboundPorts': '*',
        'traffic.sidecar.istio.io/excludeInboundPorts': '9090',
        'traffic.sidecar.istio.io/excludeInterfaces': 'docker0,br-*',
      },
      defaults,
    );
    expect(options).toEqual({
      ...defaults,
      outbound: {
        ...defaults.outbound,
        includeIPRanges: ['10.0.0.0/8', 'fd00::/8', '10.1.2.3'],
        excludeIPRanges: [],
        includePorts: [443],
        excludePorts: [25, 587],
        excludeInterfaces: ['docker0', 'br-*'],
      },
      inbound: { includePorts: '*', excludePorts: [9090] },
    });
    expect(of({ includeOutboundIPRanges: '*' }).outbound.includeIPRanges).toBe('*');
    expect(of({ includeInboundPorts: '' }).inbound.includePorts).toEqual([]);
  });

  it.each([
    ['includeOutboundIPRanges', '10.0.0.0/33'],
    ['includeOutboundIPRanges', '10.0.0.0/8,*'],
    ['excludeOutboundIPRanges', 'fe80::1%eth0'],
    ['excludeOutboundIPRanges', '10.0.0.0/8/8'],
    ['excludeOutboundIPRanges', '010.0.0.1'],
    ['includeOutboundPorts', '*'],
    ['excludeOutboundPorts', '0'],
    ['excludeOutboundPorts', '80,'],
    ['includeInboundPorts', '65536'],
    ['excludeInboundPorts', '80-90'],
    ['excludeInterfaces', 'eth0" accept'],
    ['excludeInterfaces', 'a-name-that-is-too-long'],
  ])('%s: refuses %s, naming the annotation', (name, text) => {
    expect(() => of({ [name]: text })).toThrow(new RegExp(`^annotation traffic\\.sidecar\\.istio\\.io/${name}: "`));
  });

  it.each([
    ['22', /22 is SSH/],
    ['8080,15006', /15006 belongs to the mesh/],
  ])('never captures inbound ports %s', (ports, why) => {
    expect(() => of({ includeInboundPorts: ports })).toThrow(why);
  });
});
