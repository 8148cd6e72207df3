/** (MeshView, node) -> everything the node runs. Pure: the same view and node give the same snapshot, byte for byte. */
import type { Node } from '../../shared/xds/core.ts';
import type { ResourceType, Snapshot, XdsResource } from '../../shared/xds/discovery.ts';
import { resourceName } from '../../shared/xds/discovery.ts';
import { compare } from '../mesh/build-view.ts';
import type { MeshView } from '../mesh/view.ts';
import { authorizations } from './authorization.ts';
import { outboundClusters, standardClusters, withMeshKeepalive } from './clusters.ts';
import type { CompileNode } from './compile-node.ts';
import type { CompileContext } from './context.ts';
import { withDelegates } from './delegate.ts';
import { destinationRules } from './destination-rule.ts';
import { gatewayOutbound } from './gateway.ts';
import { sniClusters } from './gateway-l4.ts';
import { boundInboundListeners, inboundClusters, inboundPorts, virtualInbound } from './inbound.ts';
import { noteNotCompiled } from './not-compiled.ts';
import { boundOutbound, capturedOutbound, type Outbound } from './outbound.ts';
import { proxyOf } from './proxy.ts';
import { scopeOf } from './scope.ts';
import { gatewaySecrets } from './secrets.ts';
import { servedPorts } from './served-ports.ts';
import { noteSharedAddress } from './workloads.ts';

export interface Compiled {
  snapshot: Snapshot;
  /** What was written and could not be translated, one sentence each. */
  notes: string[];
}

/** @throws NodeError when the node's id or metadata is malformed */
export function compileWithNotes(view: MeshView, node: Node): Compiled {
  const proxy = proxyOf(view, node);
  const notes = new Set<string>();
  const note = (message: string) => void notes.add(message);
  const scope = scopeOf(view, proxy);
  const { domainSuffix, config } = view.settings;
  const delegates = {
    all: view.resources('VirtualService'),
    domainSuffix,
    exportTo: config.defaultVirtualServiceExportTo,
    note,
  };
  const ctx: CompileContext = {
    view,
    proxy,
    scope: { ...scope, virtualServices: scope.virtualServices.map((vs) => withDelegates(vs, delegates)) },
    rules: destinationRules(view, proxy),
    authorization: authorizations(view, proxy.workloads, note),
    note,
  };
  noteSharedAddress(proxy, note);
  noteNotCompiled(ctx);
  const outbound = outboundClusters(ctx);
  const { listeners, routes, clusters, endpoints } = proxy.type === 'router' ? gatewayParts(ctx) : sidecarParts(ctx);
  const all = withMeshKeepalive(ctx, [...standardClusters(ctx), ...clusters, ...outbound.clusters]);
  const snapshot: Snapshot = {
    secrets: gatewaySecrets(ctx, listeners, all),
    clusters: sorted('clusters', all),
    endpoints: sorted('endpoints', [...endpoints, ...outbound.endpoints]),
    listeners: sorted('listeners', listeners),
    routes: sorted('routes', routes),
  };
  return { snapshot, notes: [...notes] };
}

/** @throws NodeError when the node's id or metadata is malformed */
export const compileNode: CompileNode = (view, node) => compileWithNotes(view, node).snapshot;

type Parts = Outbound & { clusters: Snapshot['clusters']; endpoints: Snapshot['endpoints'] };

function gatewayParts(ctx: CompileContext): Parts {
  return { ...gatewayOutbound(ctx), ...sniClusters(ctx) };
}

function sidecarParts(ctx: CompileContext): Parts {
  const ports = inboundPorts(ctx);
  const clusters = inboundClusters(ctx, ports);
  if (ctx.proxy.interception === 'NONE') {
    const inbound = boundInboundListeners(ctx, ports);
    const { listeners, routes } = boundOutbound(ctx, servedPorts(ctx, ports));
    return { listeners: [...inbound, ...listeners], routes, clusters, endpoints: [] };
  }
  const { listeners, routes } = capturedOutbound(ctx);
  return { listeners: [virtualInbound(ctx, ports), ...listeners], routes, clusters, endpoints: [] };
}

function sorted<T extends ResourceType>(type: T, resources: XdsResource[T][]): XdsResource[T][] {
  return resources.sort((a, b) => compare(resourceName(type, a), resourceName(type, b)));
}
