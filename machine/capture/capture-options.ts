/** What of a host's traffic is redirected to the proxy. */
import { NEVER_CAPTURED } from '../../shared/join/capture-ports.ts';

export interface CaptureOptions {
  /** Numeric user id of the proxy: its own connections are exempt. */
  readonly proxyUid: number;
  readonly outbound: OutboundCapture;
  readonly inbound: InboundCapture;
  /** Port of the proxy's DNS server, to which queries for port 53 are redirected; undefined: they are not. */
  readonly dnsPort: number | undefined;
  /** Servers whose queries are redirected. Default: every one, as Istio's `--capture-all-dns`. */
  readonly dnsServers?: readonly string[];
  /** Whether IPv6 is redirected as well. Where it is not, it is left alone. */
  readonly ipv6: boolean;
}

/** Fields as Istio's annotations `traffic.sidecar.istio.io/…` name them. CIDRs of both families. */
export interface OutboundCapture {
  /** `*`: every address. */
  readonly includeIPRanges: '*' | readonly string[];
  readonly excludeIPRanges: readonly string[];
  /** In addition to those of includeIPRanges. */
  readonly includePorts: readonly number[];
  readonly excludePorts: readonly number[];
  readonly excludeInterfaces: readonly string[];
  /** Users and groups whose connections are exempt, besides the proxy's. */
  readonly excludeUids: readonly number[];
  readonly excludeGids: readonly number[];
  /** What becomes of captured connections while no proxy listens. */
  readonly withoutProxy: 'open' | 'shut';
}

/** Ports of workloads alone; while no proxy listens they are shut. */
export interface InboundCapture {
  /** `*`: every port but those excluded, 22 and 15000 to 15090 (NEVER_INBOUND). */
  readonly includePorts: '*' | readonly number[];
  readonly excludePorts: readonly number[];
}

/**
 * Every outbound TCP connection and no inbound one; outbound connections fail while no proxy listens.
 * @param proxyUid numeric user id of the proxy
 */
export const defaultCapture = (proxyUid: number): Pick<CaptureOptions, 'proxyUid' | 'outbound' | 'inbound'> => ({
  proxyUid,
  outbound: {
    includeIPRanges: '*',
    excludeIPRanges: [],
    includePorts: [],
    excludePorts: [],
    excludeInterfaces: [],
    excludeUids: [],
    excludeGids: [],
    withoutProxy: 'shut',
  },
  inbound: { includePorts: [], excludePorts: [] },
});

/** Ports that are never captured inbound: SSH, and those of proxies and control planes. */
export const NEVER_INBOUND = { ssh: 22, firstOfMesh: NEVER_CAPTURED.first, lastOfMesh: NEVER_CAPTURED.last } as const;

/** The operator's configuration or host is at fault; one line that names the field or the remedy. */
export class CaptureError extends Error {
  override name = 'CaptureError';
}
