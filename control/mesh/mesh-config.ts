/** MeshConfig, as Istio keeps it: the YAML text under key `mesh` of ConfigMap `istio` in `istio-system`. */
import { parse } from 'yaml';
import type { Resource } from '../../shared/resources/resource.ts';
import { fields, isFields, strings, text } from './fields.ts';
import type { MeshSettings } from './view.ts';

/** The mesh configuration cannot be read: nothing may be compiled from it. */
export class MeshConfigError extends Error {
  override name = 'MeshConfigError';
}

export const DEFAULT_SETTINGS: MeshSettings = {
  rootNamespace: 'istio-system',
  trustDomain: 'cluster.local',
  domainSuffix: 'cluster.local',
  outboundTrafficPolicy: 'ALLOW_ANY',
  enableAutoMtls: true,
};

/** @throws MeshConfigError when the text is not YAML or a field Tulle reads has a wrong type. */
export function parseMeshConfig(yaml: string): MeshSettings {
  let document: unknown;
  try {
    document = parse(yaml);
  } catch (cause) {
    throw new MeshConfigError('ConfigMap istio-system/istio: data.mesh is not valid YAML', { cause });
  }
  if (document === null || document === undefined) return DEFAULT_SETTINGS;
  if (!isFields(document)) throw new MeshConfigError('ConfigMap istio-system/istio: data.mesh must be a YAML map');
  const { enableAutoMtls } = document;
  if (enableAutoMtls !== undefined && typeof enableAutoMtls !== 'boolean')
    throw new MeshConfigError('MeshConfig enableAutoMtls must be true or false');
  return {
    ...DEFAULT_SETTINGS,
    rootNamespace: optionalText(document, 'rootNamespace') ?? DEFAULT_SETTINGS.rootNamespace,
    trustDomain: optionalText(document, 'trustDomain') ?? DEFAULT_SETTINGS.trustDomain,
    outboundTrafficPolicy: outboundMode(fields(document['outboundTrafficPolicy'])['mode']),
    enableAutoMtls: enableAutoMtls ?? true,
    trustDomainAliases: strings(document['trustDomainAliases']),
    accessLogFile: optionalText(document, 'accessLogFile'),
    connectTimeout: optionalText(document, 'connectTimeout'),
  };
}

function optionalText(document: Record<string, unknown>, name: string): string | undefined {
  const value = document[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new MeshConfigError(`MeshConfig ${name} must be a string`);
  return value;
}

function outboundMode(mode: unknown): MeshSettings['outboundTrafficPolicy'] {
  if (mode === undefined || mode === 'ALLOW_ANY') return 'ALLOW_ANY';
  if (mode === 'REGISTRY_ONLY') return mode;
  throw new MeshConfigError('MeshConfig outboundTrafficPolicy.mode must be ALLOW_ANY or REGISTRY_ONLY');
}

/** The settings in force: those of the ConfigMap among `resources`, else Istio's defaults. */
export function settingsFrom(resources: readonly Resource[]): MeshSettings {
  const config = resources.find(
    (item) => item.kind === 'ConfigMap' && item.metadata.name === 'istio' && item.metadata.namespace === 'istio-system',
  );
  const yaml = config && text(fields((config as { data?: unknown }).data)['mesh']);
  return yaml === undefined ? DEFAULT_SETTINGS : parseMeshConfig(yaml);
}
