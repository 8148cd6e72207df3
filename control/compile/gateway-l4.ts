/** Gateway servers that are not HTTP: TCP, TLS that ends here, TLS passed through by SNI, and AUTO_PASSTHROUGH. */
import type { Cluster, ClusterLoadAssignment } from '../../shared/xds/cluster.ts';
import type { FilterChain, NetworkFilter } from '../../shared/xds/listener.ts';
import { type Fields, labelsOf, namespaceOf, objects, specOf, strings, text } from '../mesh/fields.ts';
import type { MeshService } from '../mesh/view.ts';
import { connectTimeout } from './clusters.ts';
import type { CompileContext } from './context.ts';
import { trafficPolicy } from './destination-rule.ts';
import { loadAssignment } from './endpoints.ts';
import { type GatewayServer, listenPort, sharedHosts } from './gateway-server.ts';
import { tcpProxy } from './http-manager.ts';
import { applies, chainOf, destinations, distinctChains, sniMatch } from './l4-routes.ts';
import { localitySetting } from './locality-lb.ts';
import { hostCovers, meshSni } from './names.ts';
import { ADS } from './tls-context.ts';
import { applyTrafficPolicy } from './traffic-policy.ts';
import { resolveGatewayName } from './virtual-service-match.ts';
import { selectsProxy } from './workloads.ts';

/** What a mesh client offers; only such connections may cross networks by SNI. */
const MESH_ALPN = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];

/** Policies of the gateway come before the bytes move on. */
function guarded(ctx: CompileContext, server: GatewayServer, filter: NetworkFilter): NetworkFilter[] {
  return [...ctx.authorization(listenPort(ctx, server.port)).tcp, filter];
}

/** The VirtualServices bound to a server that share a host with it, in Istio's order. */
function bound(ctx: CompileContext, server: GatewayServer) {
  return ctx.scope.virtualServices.filter((vs) => {
    const gateways = strings(specOf(vs)['gateways']).map((name) => resolveGatewayName(name, namespaceOf(vs)));
    return gateways.includes(server.gateway) && sharedHosts(ctx, vs, server).length > 0;
  });
}

/** The one tcp_proxy of a TCP server: the first rule that applies. undefined, and noted: no rule does. */
export function tcpServerFilters(ctx: CompileContext, server: GatewayServer): NetworkFilter[] | undefined {
  for (const vs of bound(ctx, server))
    for (const rule of objects(specOf(vs)['tcp'])) {
      const matches = objects(rule['match']);
      if (matches.length > 0 && !matches.some((match) => applies(ctx, vs, match, server.gateway, server.port)))
        continue;
      return guarded(ctx, server, destinations(ctx, vs, rule, server.port));
    }
  ctx.note(`Gateway ${server.gateway} port ${server.port}: no VirtualService has a tcp route for it: not served`);
  return undefined;
}

/** PASSTHROUGH: a chain for each `tls` match, found by SNI; the bytes go on as they are. */
export function passthroughChains(ctx: CompileContext, server: GatewayServer): FilterChain[] {
  const chains: FilterChain[] = [];
  for (const vs of bound(ctx, server))
    for (const rule of objects(specOf(vs)['tls']))
      for (const match of objects(rule['match']))
        if (applies(ctx, vs, match, server.gateway, server.port))
          chains.push(chainOf(sniMatch(match), guarded(ctx, server, destinations(ctx, vs, rule, server.port))));
  if (chains.length === 0)
    ctx.note(`Gateway ${server.gateway} port ${server.port}: no VirtualService has a tls route for it: not served`);
  return distinctChains(ctx, `of Gateway ${server.gateway}`, chains);
}

/** AUTO_PASSTHROUGH: the SNI of a mesh connection names its cluster; no VirtualService is asked. */
export function autoPassthroughChains(ctx: CompileContext, server: GatewayServer): FilterChain[] {
  return sniTargets(ctx, [server]).map(({ name }) =>
    chainOf({ applicationProtocols: MESH_ALPN, serverNames: [name] }, guarded(ctx, server, tcpProxy(ctx, name))),
  );
}

/** The clusters AUTO_PASSTHROUGH sends to: named by SNI, mTLS passes through them untouched. */
export function sniClusters(ctx: CompileContext): { clusters: Cluster[]; endpoints: ClusterLoadAssignment[] } {
  const clusters: Cluster[] = [];
  const endpoints: ClusterLoadAssignment[] = [];
  for (const { name, service, port, policy, labels } of sniTargets(ctx, autoPassthroughServers(ctx))) {
    const cluster: Cluster = {
      name,
      altStatName: `${name};`,
      type: 'EDS',
      edsClusterConfig: { edsConfig: ADS, serviceName: name },
      connectTimeout: connectTimeout(ctx),
      commonLbConfig: { healthyPanicThreshold: {} },
    };
    applyTrafficPolicy(cluster, policy, port, ctx.note);
    // What is inside is not seen: no HTTP options hold here.
    delete cluster.typedExtensionProtocolOptions;
    clusters.push(cluster);
    endpoints.push(
      loadAssignment(ctx, name, service, port, {
        subsetLabels: labels,
        failover: cluster.outlierDetection !== undefined,
        locality: localitySetting(ctx.view.settings, policy),
      }),
    );
  }
  return { clusters, endpoints };
}

interface SniTarget {
  name: string;
  service: MeshService;
  port: MeshService['ports'][number];
  labels: Record<string, string>;
  policy: Fields;
}

function sniTargets(ctx: CompileContext, servers: readonly { hosts: readonly string[] }[]): SniTarget[] {
  const patterns = servers.flatMap(({ hosts }) => hosts.map((host) => host.slice(host.indexOf('/') + 1)));
  const targets: SniTarget[] = [];
  for (const service of ctx.scope.services) {
    if (service.external || service.resolution !== 'STATIC') continue;
    if (!patterns.some((pattern) => hostCovers(pattern, service.hostname))) continue;
    const rule = ctx.rules.for(service);
    for (const port of service.ports) {
      if (port.protocol === 'UDP') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])])
        targets.push({
          name: meshSni(port.number, subset?.name, service.hostname),
          service,
          port,
          labels: subset?.labels ?? {},
          policy: trafficPolicy(rule, port, subset),
        });
    }
  }
  return targets;
}

function autoPassthroughServers(ctx: CompileContext): { hosts: string[] }[] {
  return ctx.view
    .resources('Gateway')
    .filter((gateway) => selectsProxy(labelsOf(specOf(gateway)['selector']), ctx.proxy))
    .flatMap((gateway) => objects(specOf(gateway)['servers']))
    .filter((server) => text((server['tls'] as Fields | undefined)?.['mode']) === 'AUTO_PASSTHROUGH')
    .map((server) => ({ hosts: strings(server['hosts']) }));
}
