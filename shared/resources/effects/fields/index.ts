/** The tables of all kinds of Istio. */
import type { FieldTable } from '../field-table.ts';
import { AUTHORIZATION_POLICY_FIELDS } from './authorization-policy.ts';
import { DESTINATION_RULE_FIELDS } from './destination-rule.ts';
import { ENVOY_FILTER_FIELDS } from './envoy-filter.ts';
import { GATEWAY_FIELDS } from './gateway.ts';
import { PEER_AUTHENTICATION_FIELDS } from './peer-authentication.ts';
import { TRAFFIC_EXTENSION_FIELDS, WASM_PLUGIN_FIELDS } from './plugins.ts';
import { PROXY_CONFIG_FIELDS } from './proxy-config.ts';
import { REQUEST_AUTHENTICATION_FIELDS } from './request-authentication.ts';
import { SERVICE_ENTRY_FIELDS } from './service-entry.ts';
import { SIDECAR_FIELDS } from './sidecar.ts';
import { TELEMETRY_FIELDS } from './telemetry.ts';
import { VIRTUAL_SERVICE_FIELDS } from './virtual-service.ts';
import { WORKLOAD_ENTRY_FIELDS, WORKLOAD_GROUP_FIELDS } from './workload.ts';

export const FIELD_TABLES: Readonly<Record<string, FieldTable>> = {
  VirtualService: VIRTUAL_SERVICE_FIELDS,
  DestinationRule: DESTINATION_RULE_FIELDS,
  Gateway: GATEWAY_FIELDS,
  ServiceEntry: SERVICE_ENTRY_FIELDS,
  Sidecar: SIDECAR_FIELDS,
  WorkloadEntry: WORKLOAD_ENTRY_FIELDS,
  WorkloadGroup: WORKLOAD_GROUP_FIELDS,
  ProxyConfig: PROXY_CONFIG_FIELDS,
  EnvoyFilter: ENVOY_FILTER_FIELDS,
  AuthorizationPolicy: AUTHORIZATION_POLICY_FIELDS,
  PeerAuthentication: PEER_AUTHENTICATION_FIELDS,
  RequestAuthentication: REQUEST_AUTHENTICATION_FIELDS,
  Telemetry: TELEMETRY_FIELDS,
  WasmPlugin: WASM_PLUGIN_FIELDS,
  TrafficExtension: TRAFFIC_EXTENSION_FIELDS,
};

/** Kinds that have no effect as a whole. */
export const KINDS_WITHOUT_EFFECT: readonly string[] = Object.keys(FIELD_TABLES).filter(
  (kind) => FIELD_TABLES[kind]!['**']?.state === 'reported',
);
