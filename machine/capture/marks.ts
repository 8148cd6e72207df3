/** How packets are recognised: bits of their marks that no common program uses, and the routing table of captured ones. */

/** Bit of a packet's and a connection's mark: captured outbound. Docker, Kubernetes (0x4000, 0x8000), Istio (0x539) use others. */
export const OUTBOUND_MARK = 0x2000;
/** Bit of a packet's mark: of the proxy, for its own workload. */
export const SELF_MARK = 0x1000;
/** Bit of a connection's mark: let through because no proxy listened (iptables). */
export const PASSED_MARK = 0x800;

/** Number of the routing table that delivers captured packets locally. */
export const ROUTE_TABLE = 15_001;
/** Before the main table (32766) and those of VPNs (5210 and above); after the table of local addresses (0). */
export const RULE_PRIORITY = 150;

/** Seconds for which an outbound connection is left alone once a captured one found no proxy (`withoutProxy: 'open'`). */
export const OPEN_SECONDS = 10;

/** Source of the proxy's connections to its own workload, as Istio's InboundPassthroughCluster and inbound clusters bind it. */
export const PASSTHROUGH_SOURCE_6 = '::6';
