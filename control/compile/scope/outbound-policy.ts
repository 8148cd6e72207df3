/** What becomes of outbound traffic to destinations that the mesh does not know. */
import type { OutboundTrafficPolicy } from '../../../shared/resources/schema/sidecar.ts';
import type { MeshSettings } from '../../mesh/view.ts';
import { generator } from '../memo.ts';
import { BLACK_HOLE, DYNAMIC_ANY, outboundCluster, PASSTHROUGH } from '../names.ts';
import type { Sidecar, Sidecars } from './sidecars.ts';

export interface OutboundPolicy {
  /** The cluster of requests to unknown hosts; undefined: they are refused. */
  readonly requests: string | undefined;
  /** The cluster of connections to unknown addresses. */
  readonly connections: string;
  /** The service that takes both (`egressProxy`); '' none. */
  readonly egressProxy: string;
  /** The Sidecar that names the egress proxy. */
  readonly about: Sidecar | undefined;
}

/** Requests to unknown hosts go where their host is looked up: each HTTP filter chain needs the filter for it. */
export const looksUpHosts = ({ requests }: Pick<OutboundPolicy, 'requests'>): boolean => requests === DYNAMIC_ANY;

type MeshPolicy = MeshSettings['outboundTrafficPolicy'];

/** REGISTRY_ONLY where one Sidecar says so; else through the first egress proxy that one names; else as the mesh says. */
export const outboundPolicyOf = generator<{ sidecars: Sidecars; mesh: MeshPolicy }, OutboundPolicy>(
  { sidecars: true, mesh: true },
  ({ sidecars, mesh }) => {
    const all = sidecars.length === 0 ? [undefined] : sidecars;
    const policies = all.map((sidecar) => sidecar?.spec?.outboundTrafficPolicy);
    const modes = policies.map((policy) => modeOf(policy, mesh));
    const closed = { requests: undefined, connections: BLACK_HOLE, egressProxy: '', about: undefined };
    if (modes.includes('REGISTRY_ONLY')) return closed;
    const at = policies.findIndex((policy) => policy?.egressProxy);
    const proxy = policies[at]?.egressProxy;
    if (proxy) {
      const cluster = outboundCluster(proxy.port?.number ?? 0, proxy.subset, proxy.host);
      return { requests: cluster, connections: cluster, egressProxy: proxy.host, about: all[at] };
    }
    const dynamic = modes.every((mode) => mode === 'ALLOW_ANY_DYNAMIC_DNS');
    return { ...closed, requests: dynamic ? DYNAMIC_ANY : PASSTHROUGH, connections: PASSTHROUGH };
  },
);

/** A policy without mode has the enum's zero value, as in any protobuf message. */
function modeOf(policy: OutboundTrafficPolicy | undefined, mesh: MeshPolicy): MeshPolicy {
  return policy ? (policy.mode ?? 'REGISTRY_ONLY') : mesh;
}
