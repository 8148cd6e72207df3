/** The registry of kinds: everything that asks "which kinds are there" asks here. */
import { authorizationPolicy } from './authorization-policy.ts';
import { configMap } from './config-map.ts';
import { destinationRule } from './destination-rule.ts';
import { endpointSlice } from './endpoint-slice.ts';
import { envoyFilter } from './envoy-filter.ts';
import { gateway } from './gateway.ts';
import type { Kind } from './kind.ts';
import { namespace } from './namespace.ts';
import { peerAuthentication } from './peer-authentication.ts';
import { proxyConfig } from './proxy-config.ts';
import { requestAuthentication } from './request-authentication.ts';
import { secret } from './secret.ts';
import { service } from './service.ts';
import { serviceAccount } from './service-account.ts';
import { serviceEntry } from './service-entry.ts';
import { sidecar } from './sidecar.ts';
import { telemetry } from './telemetry.ts';
import { trafficExtension } from './traffic-extension.ts';
import { virtualService } from './virtual-service.ts';
import { wasmPlugin } from './wasm-plugin.ts';
import { workloadEntry } from './workload-entry.ts';
import { workloadGroup } from './workload-group.ts';

/** Every kind, in the order tables and discovery show them. */
export const kinds: readonly Kind[] = [
  virtualService as unknown as Kind,
  destinationRule as unknown as Kind,
  gateway as unknown as Kind,
  serviceEntry as unknown as Kind,
  workloadEntry as unknown as Kind,
  workloadGroup as unknown as Kind,
  sidecar as unknown as Kind,
  proxyConfig as unknown as Kind,
  envoyFilter as unknown as Kind,
  authorizationPolicy as unknown as Kind,
  peerAuthentication as unknown as Kind,
  requestAuthentication as unknown as Kind,
  telemetry as unknown as Kind,
  wasmPlugin as unknown as Kind,
  trafficExtension as unknown as Kind,
  namespace as unknown as Kind,
  service as unknown as Kind,
  endpointSlice as unknown as Kind,
  serviceAccount as unknown as Kind,
  secret as unknown as Kind,
  configMap as unknown as Kind,
];

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
