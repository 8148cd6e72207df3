/** Gateway servers that are not HTTP: TCP, TLS that ends here, TLS passed through by SNI, and AUTO_PASSTHROUGH. */
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Cluster, ClusterLoadAssignment } from '../../../shared/xds/cluster.ts';
import type { NetworkFilter } from '../../../shared/xds/listener.ts';
import { specOf } from '../../mesh/fields.ts';
import type { RouteForm } from '../../mesh/routes/route-form.ts';
import type { MeshEndpoint, MeshService, MeshSettings, ServicePort } from '../../mesh/view.ts';
import { type Caller, policyFindings, type ServiceClusters, withMeshKeepalive } from '../cluster/clusters.ts';
import { connectTimeout } from '../cluster/connect-timeout.ts';
import {
  type DestinationRule,
  type DestinationRules,
  type Subset,
  trafficPolicy,
} from '../cluster/destination-rule.ts';
import { assignmentOf, placedAssignment } from '../cluster/endpoints.ts';
import { type LocalityLb, localitySetting } from '../cluster/locality-lb.ts';
import { withinNetwork } from '../cluster/through-gateways.ts';
import { applyTrafficPolicy } from '../cluster/traffic-policy.ts';
import { generator } from '../memo.ts';
import { hostCovers, meshSni } from '../names.ts';
import type { Finding } from '../output/finding.ts';
import { type Produced, produced } from '../output/produced.ts';
import type { Plugin } from '../plugins/plugin.ts';
import { pluginFilters } from '../plugins/plugin-filters.ts';
import { applies, chainOf, destinationFilter, type L4Routes, type OwnedChain, sniMatch } from '../routes/l4-routes.ts';
import type { Services } from '../scope/scope.ts';
import type { Authorization } from '../security/authorization.ts';
import type { MtlsModes } from '../security/peer-authentication.ts';
import { ADS } from '../security/tls-context.ts';
import { tcpProxy } from '../sidecar/http-manager.ts';
import { type GatewayServer, sharedHosts, type Unserved } from './gateway-server.ts';

/** What a mesh client offers; only such connections may cross networks by SNI. */
const MESH_ALPN = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];

/** What a gateway's connections are routed by. */
export interface GatewayL4 extends L4Routes {
  readonly services: Services;
  /** What guards the port of that number. */
  authorization(port: number): Authorization;
  /** Those that select the gateway. */
  readonly plugins: readonly Plugin[];
  readonly unserved: Unserved;
}

/** Policies of the gateway come before the bytes move on. */
function guarded(input: GatewayL4, server: GatewayServer, filter: NetworkFilter): NetworkFilter[] {
  const { beforeAuthorization, afterAuthorization } = pluginFilters(input.plugins, 'CLIENT', [server.port]);
  const { tcp } = input.authorization(server.listening);
  return [...beforeAuthorization, ...tcp, ...afterAuthorization, filter];
}

/** The forms bound to a server that share a host with it, in Istio's order. */
function bound({ forms }: GatewayL4, server: GatewayServer): readonly RouteForm[] {
  return forms.filter((form) => form.gateways.includes(server.gateway) && sharedHosts(form, server).length > 0);
}

/** The one tcp_proxy of a TCP server: the first rule that applies. undefined, and reported: no rule does. */
export function tcpServerFilters(input: GatewayL4, server: GatewayServer): NetworkFilter[] | undefined {
  for (const form of bound(input, server))
    for (const rule of form.tcp) {
      const { match: matches = [], route = [] } = rule;
      if (route.length === 0) continue;
      if (matches.length > 0 && !matches.some((match) => applies(input, match, server.gateway, server.port))) continue;
      return guarded(input, server, destinationFilter(input, form, rule, server.port));
    }
  input.unserved(server, 'no VirtualService has a tcp route for it');
  return undefined;
}

/** PASSTHROUGH: a chain for each `tls` match, found by SNI; the bytes continue as they are. */
export function passthroughChains(input: GatewayL4, server: GatewayServer): OwnedChain[] {
  const chains: OwnedChain[] = [];
  for (const form of bound(input, server))
    for (const rule of form.tls)
      for (const match of rule.match)
        if (applies(input, match, server.gateway, server.port))
          chains.push({
            chain: chainOf(sniMatch(match), guarded(input, server, destinationFilter(input, form, rule, server.port))),
            owner: { about: form.origin.resource, path: 'spec.tls' },
          });
  if (chains.length === 0) input.unserved(server, 'no VirtualService has a tls route for it');
  return chains;
}

/** AUTO_PASSTHROUGH: the SNI of a mesh connection names its cluster; no route is asked. */
export function autoPassthroughChains(input: GatewayL4, server: GatewayServer): OwnedChain[] {
  const hosts = server.hosts.map((host) => host.slice(host.indexOf('/') + 1));
  return sniTargets(input.services, input.destinations.rule, hosts).map(({ name }) => ({
    chain: chainOf(
      { applicationProtocols: MESH_ALPN, serverNames: [name] },
      guarded(input, server, tcpProxy(input, name)),
    ),
    owner: { about: server.owner, path: server.path },
  }));
}

export interface SniClustersInput
  extends Omit<Caller, 'readsCredentials' | 'detectsProtocols' | 'choosesAlpn' | 'selfDiscovers'> {
  readonly gateways: readonly ResourceOfKind<'Gateway'>[];
  readonly services: Services;
  readonly rules: DestinationRules;
  readonly settings: MeshSettings;
  readonly mtls: MtlsModes;
  endpoints(service: MeshService): readonly MeshEndpoint[];
  neighbours(service: MeshService): readonly MeshEndpoint[];
}

/** The clusters AUTO_PASSTHROUGH sends to: named by SNI, mTLS passes through them untouched. */
export function sniClusters(input: SniClustersInput): ServiceClusters {
  const clusters: Produced<'clusters'>[] = [];
  const assignments: Produced<'endpoints'>[] = [];
  const findings: Finding[] = [];
  const notes: string[] = [];
  const { rules, settings, mtls, clusterId, locality, failoverLabels: labels } = input;
  const patterns = autoPassthroughHosts(input.gateways);
  for (const { name: clusterName, service, port, subset, rule } of sniTargets(input.services, rules.for, patterns)) {
    const built = sniCluster({ service, rule, port, subset, settings });
    clusters.push(built.cluster);
    if (rule) findings.push(...policyFindings(built.notes, rule, subset));
    else notes.push(...built.notes);
    const endpoints = input.endpoints(service);
    const neighbours = input.neighbours(service);
    const all = assignmentOf({ endpoints, neighbours, service, port, subset, mtls, clusterName, clusterId });
    const assignment = withinNetwork({ assignment: all, networks: input.networks });
    const message = placedAssignment({ assignment, ...built.placement, clusterId, locality, labels });
    assignments.push(sniAssignment({ message, service, port }));
  }
  return { clusters, assignments, notes, findings };
}

const sniAssignment = generator<
  { message: ClusterLoadAssignment; service: MeshService; port: ServicePort },
  Produced<'endpoints'>
>({ message: true, service: true, port: true }, ({ message, service, port }) =>
  produced('endpoints', message, { side: 'gateway', service, port: port.number }),
);

interface SniClusterInput {
  readonly service: MeshService;
  readonly rule: DestinationRule | undefined;
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly settings: MeshSettings;
}

const sniCluster = generator<
  SniClusterInput,
  {
    cluster: Produced<'clusters'>;
    placement: { setting: LocalityLb | undefined; failover: boolean };
    notes: readonly string[];
  }
>(
  { service: true, rule: true, port: true, subset: true, settings: true },
  ({ service, rule, port, subset, settings }) => {
    const notes: string[] = [];
    const name = meshSni(port.number, subset?.name, service.hostname);
    const policy = trafficPolicy(rule, port, subset);
    const cluster: Cluster = {
      name,
      altStatName: `${name};`,
      type: 'EDS',
      edsClusterConfig: { edsConfig: ADS, serviceName: name },
      connectTimeout: connectTimeout(settings),
      commonLbConfig: { healthyPanicThreshold: {} },
    };
    applyTrafficPolicy(cluster, policy, port, { upgrades: false, detects: false }, (message) => notes.push(message));
    // What is inside is not seen: no HTTP options hold here.
    delete cluster.typedExtensionProtocolOptions;
    withMeshKeepalive(settings, cluster);
    const placement = { setting: localitySetting(settings, policy), failover: cluster.outlierDetection !== undefined };
    return {
      cluster: produced('clusters', cluster, { side: 'gateway', service, port: port.number }),
      placement,
      notes,
    };
  },
);

interface SniTarget {
  name: string;
  service: MeshService;
  port: ServicePort;
  rule: DestinationRule | undefined;
  subset: Subset | undefined;
}

function sniTargets(
  services: Services,
  ruleOf: (service: MeshService) => DestinationRule | undefined,
  patterns: readonly string[],
): SniTarget[] {
  if (patterns.length === 0) return [];
  const targets: SniTarget[] = [];
  for (const service of services.list) {
    if (service.external || service.resolution !== 'STATIC') continue;
    if (!patterns.some((pattern) => hostCovers(pattern, service.hostname))) continue;
    const rule = ruleOf(service);
    for (const port of service.ports) {
      if (port.protocol === 'UDP') continue;
      for (const subset of [undefined, ...(rule?.subsets ?? [])])
        targets.push({ name: meshSni(port.number, subset?.name, service.hostname), service, port, rule, subset });
    }
  }
  return targets;
}

function autoPassthroughHosts(gateways: readonly ResourceOfKind<'Gateway'>[]): string[] {
  return gateways
    .flatMap((gateway) => specOf(gateway).servers ?? [])
    .filter(({ tls }) => tls?.mode === 'AUTO_PASSTHROUGH')
    .flatMap(({ hosts }) => hosts)
    .map((host) => host.slice(host.indexOf('/') + 1));
}
