/** What a gateway runs: the servers of the Gateway resources that select it. */
import type { MeshService } from '../../mesh/view.ts';
import { neighboursOf } from '../cluster/neighbours.ts';
import { networkView } from '../cluster/network-view.ts';
import { gatewayOutbound } from '../gateway/gateway.ts';
import { sniClusters } from '../gateway/gateway-l4.ts';
import { gatewaysFor } from '../gateway/gateway-ports.ts';
import { labelsKey, sharedList } from '../memo.ts';
import type { Work } from '../output/compiled-node.ts';
import { gatewayRoutes } from '../routes/bound-routes.ts';
import { type Parts, type Place, partsOf } from './place.ts';

export function* gatewayServers(place: Place): Work<Parts> {
  const { view, proxy, settings, asked, scope, rules, mtls, policies, authorizers, tokenPolicies, plugins } = place;
  const { namespace, labels, clusterId, locality } = proxy;
  const { services } = scope;
  const selected = sharedList(gatewaysFor(view.resources('Gateway'), proxy));
  const gateways = sharedList(selected.map(({ gateway }) => gateway));
  const { listeners, routes, notes, errors } = yield* gatewayOutbound({
    forms: gatewayRoutes({ list: scope.routes, gateways }),
    services,
    gateways: selected,
    rules,
    policies,
    authorizers,
    plugins,
    tokenPolicies,
    workloads: proxy.workloads,
    settings,
    namespace,
    labels: labelsKey(labels),
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
    networks: networkView(view, proxy.network, proxy.tunnelPort !== undefined),
    endpoints: (service: MeshService) => view.endpoints(service.whole ?? service),
    neighbours: (service: MeshService) => neighboursOf(view, service.whole ?? service, mtls),
  });
  const made = { listeners, routes, clusters: sharedList(sni.clusters), endpoints: sharedList(sni.assignments) };
  return partsOf(place, made, { notes: [...notes, ...sni.notes], errors: [...errors, ...sni.findings] });
}
