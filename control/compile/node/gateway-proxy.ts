/** What a gateway runs: the servers of the Gateway resources that select it. */
import type { MeshService } from '../../mesh/view.ts';
import { neighboursOf } from '../cluster/neighbours.ts';
import { gatewayOutbound } from '../gateway/gateway.ts';
import { sniClusters } from '../gateway/gateway-l4.ts';
import { gatewaysFor } from '../gateway/gateway-server.ts';
import { labelsKey, sharedList } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { gatewayRoutes } from '../routes/bound-routes.ts';
import { type Parts, type Place, partsOf } from './place.ts';

export function* gatewayServers(place: Place): Work<Parts> {
  const { view, proxy, settings, asked, scope, rules, mtls, policies, authorizers, tokenPolicies, plugins } = place;
  const { namespace, labels, clusterId, locality, instances } = proxy;
  const { services } = scope;
  const gateways = sharedList(gatewaysFor(view.resources('Gateway'), proxy));
  const listenPorts: Record<string, string> = {};
  for (const { service, port, endpoint } of instances)
    if (!keepsPorts(service)) listenPorts[String(port.number)] ??= String(endpoint.port);
  const { listeners, routes, notes, errors } = yield* gatewayOutbound({
    forms: gatewayRoutes({ list: scope.routes, gateways }),
    services,
    gateways,
    rules,
    policies,
    authorizers,
    plugins,
    tokenPolicies,
    workloads: proxy.workloads,
    settings,
    namespace,
    labels: labelsKey(labels),
    listenPorts: labelsKey(listenPorts),
  });
  yield;
  const { failoverLabels } = asked;
  const sni = sniClusters({
    gateways,
    services,
    rules,
    settings,
    mtls,
    clusterId,
    locality,
    failoverLabels,
    endpoints: (service: MeshService) => view.endpoints(service),
    neighbours: (service: MeshService) => neighboursOf(view, service, mtls),
  });
  const made = { listeners, routes, clusters: sharedList(sni.clusters), endpoints: sharedList(sni.assignments) };
  return partsOf(place, made, { notes: [...notes, ...sni.notes], errors });
}

/** Istio's label of a Service whose ports are not translated: servers listen on the numbers that they name. */
function keepsPorts({ resource }: MeshService): boolean {
  return resource.metadata.labels?.['experimental.istio.io/disable-gateway-port-translation'] !== undefined;
}
