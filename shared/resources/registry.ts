/** The registry of kinds: the only list of kinds. */

import type { Kind, ResourceOf } from './kind.ts';
import { authorizationPolicy } from './kinds/authorization-policy.ts';
import { configMap } from './kinds/core/config-map.ts';
import { endpointSlice } from './kinds/core/endpoint-slice.ts';
import { namespace } from './kinds/core/namespace.ts';
import { secret } from './kinds/core/secret.ts';
import { service } from './kinds/core/service.ts';
import { serviceAccount } from './kinds/core/service-account.ts';
import { destinationRule } from './kinds/destination-rule.ts';
import { envoyFilter } from './kinds/envoy-filter.ts';
import { coreEvent } from './kinds/events/core-event.ts';
import { event } from './kinds/events/event.ts';
import { gateway } from './kinds/gateway.ts';
import { peerAuthentication } from './kinds/peer-authentication.ts';
import { proxyConfig } from './kinds/proxy-config.ts';
import { clusterRole } from './kinds/rbac/cluster-role.ts';
import { clusterRoleBinding } from './kinds/rbac/cluster-role-binding.ts';
import { role } from './kinds/rbac/role.ts';
import { roleBinding } from './kinds/rbac/role-binding.ts';
import { requestAuthentication } from './kinds/request-authentication.ts';
import { serviceEntry } from './kinds/service-entry.ts';
import { sidecar } from './kinds/sidecar.ts';
import { telemetry } from './kinds/telemetry.ts';
import { trafficExtension } from './kinds/traffic-extension.ts';
import { joinPolicy } from './kinds/tulle/join-policy.ts';
import { rolloutPolicy } from './kinds/tulle/rollout-policy.ts';
import { virtualService } from './kinds/virtual-service.ts';
import { wasmPlugin } from './kinds/wasm-plugin.ts';
import { workloadEntry } from './kinds/workload-entry.ts';
import { workloadGroup } from './kinds/workload-group.ts';
import type { Resource } from './resource.ts';

/** Every kind by name, in the order tables and discovery show them. */
const KINDS = {
  VirtualService: virtualService,
  DestinationRule: destinationRule,
  Gateway: gateway,
  ServiceEntry: serviceEntry,
  WorkloadEntry: workloadEntry,
  WorkloadGroup: workloadGroup,
  Sidecar: sidecar,
  ProxyConfig: proxyConfig,
  EnvoyFilter: envoyFilter,
  AuthorizationPolicy: authorizationPolicy,
  PeerAuthentication: peerAuthentication,
  RequestAuthentication: requestAuthentication,
  Telemetry: telemetry,
  WasmPlugin: wasmPlugin,
  TrafficExtension: trafficExtension,
  JoinPolicy: joinPolicy,
  RolloutPolicy: rolloutPolicy,
  Namespace: namespace,
  Service: service,
  EndpointSlice: endpointSlice,
  ServiceAccount: serviceAccount,
  Secret: secret,
  ConfigMap: configMap,
  Event: coreEvent,
  'Event.events.k8s.io': event,
  Role: role,
  ClusterRole: clusterRole,
  RoleBinding: roleBinding,
  ClusterRoleBinding: clusterRoleBinding,
};

export const kinds: readonly Kind[] = Object.values(KINDS) as unknown as readonly Kind[];

/** Kind -> the type of its resources, as validated. */
export type KindTypes = { readonly [K in keyof typeof KINDS]: ResourceOf<(typeof KINDS)[K]> };

/** The resources of the kind of that name: what its schema makes of them; of a kind that is not registered, any resource. */
export type ResourceOfKind<Name extends string> = Name extends keyof KindTypes ? KindTypes[Name] : Resource;

const byName = new Map(kinds.map((kind) => [`${kind.group}/${kind.kind}`, kind]));
const byPlural = new Map(kinds.map((kind) => [`${kind.group}/${kind.plural}`, kind]));

/** A kind by group ('' is core) and kind name. */
export function kindByName(group: string, kind: string): Kind | undefined {
  return byName.get(`${group}/${kind}`);
}

/** A kind by group and plural, as in REST paths. */
export function kindByPlural(group: string, plural: string): Kind | undefined {
  return byPlural.get(`${group}/${plural}`);
}

/** A kind by apiVersion (`networking.istio.io/v1`, `v1`) and kind name; undefined also when the version is not served. */
export function kindOf(apiVersion: string, kind: string): Kind | undefined {
  const { group, version } = splitApiVersion(apiVersion);
  const found = kindByName(group, kind);
  return found?.versions.includes(version) ? found : undefined;
}

export function splitApiVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  return slash < 0
    ? { group: '', version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}
