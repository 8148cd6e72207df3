/** MeshConfig in force: the YAML text under key `mesh` of ConfigMap `istio` in `istio-system`, over Istio's defaults. */
import { isMeshConfigMap } from '../../shared/resources/kinds/core/config-map.ts';
import type { MeshConfig } from '../../shared/resources/mesh-config/mesh-config.ts';
import { DEFAULT_MESH_CONFIG } from '../../shared/resources/mesh-config/mesh-config-defaults.ts';
import { type Reading, readMeshConfig, readMeshNetworks } from '../../shared/resources/mesh-config/mesh-config-read.ts';
import type { Resource, Violation } from '../../shared/resources/resource.ts';
import { jsonFields, unreadablePart } from '../../shared/xds/access-log-format.ts';
import { fields, text } from './fields.ts';
import type { MeshSettings } from './view.ts';

/** The mesh configuration cannot be read: nothing may be compiled from it. */
export class MeshConfigError extends Error {
  override name = 'MeshConfigError';
}

export const DEFAULT_SETTINGS: MeshSettings = settingsOf(DEFAULT_MESH_CONFIG);

/**
 * Reads the text of key `mesh`. Unknown fields and providers that cannot be used are left out, as istiod does; they and
 * the fields without effect are named in `warnings`.
 * @throws MeshConfigError naming every violation
 */
export function parseMeshConfig(yaml: string): MeshSettings {
  const { value, warnings } = must('mesh', readMeshConfig(yaml));
  const all = warnings.map(textOf('mesh'));
  return { ...settingsOf(value), ...(all.length > 0 ? { warnings: all } : {}) };
}

function settingsOf(config: MeshConfig): MeshSettings {
  const { accessLogFile, trustDomainAliases = [], outboundTrafficPolicy } = config;
  return {
    config,
    rootNamespace: config.rootNamespace || 'istio-system',
    trustDomain: config.trustDomain ?? 'cluster.local',
    domainSuffix: 'cluster.local',
    // A policy without mode has the enum's zero value, as in any protobuf message.
    outboundTrafficPolicy: outboundTrafficPolicy?.mode ?? 'REGISTRY_ONLY',
    enableAutoMtls: config.enableAutoMtls ?? true,
    ...(trustDomainAliases.length > 0 ? { trustDomainAliases } : {}),
    ...(accessLogFile === undefined ? {} : { accessLogFile }),
    ...accessLogFormat(config),
    ...(config.connectTimeout ? { connectTimeout: config.connectTimeout } : {}),
  };
}

/**
 * As Istio: a format of text gets a line end; one that is no JSON object where JSON is wanted counts for nothing. So does one
 * that proxies would refuse with the whole listener (shared/resources/effects names it).
 */
function accessLogFormat({
  accessLogFormat: format,
  accessLogEncoding,
}: MeshConfig): Pick<MeshSettings, 'accessLogFormat'> {
  const known = format && unreadablePart(format) === undefined ? format : undefined;
  if (accessLogEncoding === 'JSON') return { accessLogFormat: { json: (known && jsonFields(known)) || true } };
  if (known === undefined) return {};
  return { accessLogFormat: { text: known.endsWith('\n') ? known : `${known}\n` } };
}

/** The settings in force: those of the ConfigMap among `resources`, else Istio's defaults. @throws MeshConfigError */
export function settingsFrom(resources: readonly Resource[]): MeshSettings {
  const config = resources.find((item) => item.kind === 'ConfigMap' && isMeshConfigMap(item));
  const data = fields((config as { data?: unknown } | undefined)?.data);
  const mesh = text(data['mesh']);
  const networks = text(data['meshNetworks']);
  const settings = mesh === undefined ? DEFAULT_SETTINGS : parseMeshConfig(mesh);
  if (networks === undefined) return settings;
  const { value, warnings } = must('meshNetworks', readMeshNetworks(networks));
  const all = [...(settings.warnings ?? []), ...warnings.map(textOf('meshNetworks'))];
  return { ...settings, networks: value, ...(all.length > 0 ? { warnings: all } : {}) };
}

function must<Value>(key: string, reading: Reading<Value>): { value: Value; warnings: readonly Violation[] } {
  const { value, violations, warnings } = reading;
  if (value !== undefined) return { value, warnings };
  throw new MeshConfigError(`ConfigMap istio-system/istio: ${violations.map(textOf(key)).join('; ')}`);
}

function textOf(key: string): (violation: Violation) => string {
  return ({ path, message }) => `data.${key}: ${path === '' ? '' : `${path}: `}${message}`;
}
