import { AGE, count } from '../../describe/columns.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { type Reading, readMeshConfig, readMeshNetworks } from '../../mesh-config/mesh-config-read.ts';
import type { Resource } from '../../resource.ts';
import { ConfigMapBody } from '../../schema/core.ts';
import { Report } from '../../violations.ts';

export const configMap = defineKind({
  kind: 'ConfigMap',
  group: '',
  versions: ['v1'],
  plural: 'configmaps',
  singular: 'configmap',
  shortNames: ['cm'],
  categories: [],
  namespaced: true,
  body: ConfigMapBody,
  check: (resource) => {
    const report = new Report();
    checkBase64Map(report, 'binaryData', resource.binaryData);
    if (isMeshConfigMap(resource)) checkMeshData(report, resource.data ?? {});
    return report.findings;
  },
  columns: [count('Data', ['.data', '.binaryData'], 'Number of values'), AGE],
  description: 'Config data; `istio` in the root namespace holds the mesh config.',
});
export type ConfigMap = ResourceOf<typeof configMap>;

/** Is this the ConfigMap that holds MeshConfig and MeshNetworks? */
export function isMeshConfigMap(resource: Pick<Resource, 'metadata'>): boolean {
  return resource.metadata?.name === 'istio' && resource.metadata.namespace === 'istio-system';
}

/** Violations have the path `data.mesh`, and the path within it first in the message: `data.mesh: connectTimeout: must be …`. */
function checkMeshData(report: Report, data: Record<string, string>): void {
  const readers: Record<string, (text: string) => Reading<unknown>> = {
    mesh: readMeshConfig,
    meshNetworks: readMeshNetworks,
  };
  for (const [key, read] of Object.entries(readers)) {
    const text = data[key];
    if (text === undefined) continue;
    const { violations, warnings } = read(text);
    const within = (path: string, message: string) => (path === '' ? message : `${path}: ${message}`);
    for (const { path, rule, message } of violations) report.violation(`data.${key}`, rule, within(path, message));
    for (const { path, rule, message } of warnings) report.warn(`data.${key}`, rule, within(path, message));
  }
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Keys are file names, values base64. Values are never shown: they may be secret. */
export function checkBase64Map(report: Report, field: string, data: Record<string, string> | undefined): void {
  for (const [key, value] of Object.entries(data ?? {})) {
    const path = `${field}[${JSON.stringify(key)}]`;
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) {
      report.violation(path, 'data.key', 'the key must be letters, digits, "-", "_" or "."');
    }
    if (!BASE64.test(value.replace(/[\r\n]/g, ''))) report.violation(path, 'data.base64', 'must be base64');
  }
}
