/** Fields that are accepted and stored but not translated: reported wherever a user would expect an effect. */

import { annotationsWithoutEffect } from '../../../shared/resources/effects/annotations.ts';
import { fieldsWithoutEffect } from '../../../shared/resources/effects/field-table.ts';
import { FIELD_TABLES, KINDS_WITHOUT_EFFECT } from '../../../shared/resources/effects/fields/index.ts';
import { labelsWithoutEffect } from '../../../shared/resources/effects/labels.ts';
import { proxyMetadataWithoutEffect } from '../../../shared/resources/effects/proxy-config.ts';
import { readProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { ResourceOfKind } from '../../../shared/resources/registry.ts';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import type { DestinationRuleSpec } from '../../../shared/resources/schema/destination-rule.ts';
import { keyPath } from '../../../shared/resources/violations.ts';
import { isKind, specOf } from '../../mesh/fields.ts';
import type { MeshView } from '../../mesh/view.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { Scope } from '../scope/scope.ts';
import { proxyConfigAnnotations } from './proxy-config.ts';

const RULE = 'not-compiled';
const of = (path: string, message: string): Violation => ({ path, message, rule: RULE });

/** The parts of a resource that will have no effect, or another one than in Istio; each with its path. */
export function notCompiled(resource: Resource): Violation[] {
  return [...byTable(resource), ...bodyNotCompiled(resource), ...metadata(resource)];
}

function bodyNotCompiled(resource: Resource): Violation[] {
  if (isKind(resource, 'ProxyConfig')) return proxyConfig(resource);
  if (isKind(resource, 'WorkloadEntry') || isKind(resource, 'WorkloadGroup'))
    return proxyConfigAnnotations(resource).flatMap(annotation);
  if (isKind(resource, 'DestinationRule')) return ofDestinations(specOf(resource));
  return [];
}

function byTable(resource: Resource): Violation[] {
  const table = FIELD_TABLES[resource.kind];
  return table ? fieldsWithoutEffect(table, resource).map(({ path, message }) => of(path, message)) : [];
}

function proxyConfig(config: ResourceOfKind<'ProxyConfig'>): Violation[] {
  const { environmentVariables = {}, selector } = specOf(config);
  const unused = proxyMetadataWithoutEffect(environmentVariables);
  const none = selector && Object.keys(selector.matchLabels ?? {}).length === 0;
  return [
    ...(unused === undefined ? [] : [of('spec.environmentVariables', unused)]),
    ...(none
      ? [of('spec.selector', 'has no matchLabels: it selects nothing; without selector it is the namespace')]
      : []),
  ];
}

/** As in istiod, ports with settings of their own have nothing of the destination's. */
function ofDestinations({ trafficPolicy, subsets = [] }: Partial<DestinationRuleSpec>): Violation[] {
  const policies = [
    ['spec.trafficPolicy', trafficPolicy] as const,
    ...subsets.map((subset, i) => [`spec.subsets[${i}].trafficPolicy`, subset.trafficPolicy] as const),
  ];
  return policies.flatMap(([path, { portLevelSettings = [], ...policy } = {}]) => {
    const ports = portLevelSettings.map(({ port }) => port?.number).join(', ');
    if (ports === '') return [];
    return (['proxyProtocol', 'retryBudget'] as const)
      .filter((field) => policy[field] !== undefined)
      .map((field) => of(`${path}.${field}`, `has no effect at port ${ports}, which has settings of its own`));
  });
}

function annotation({ path, yaml }: { path: string; yaml: string }): Violation[] {
  const { violations, warnings } = readProxyConfig(yaml);
  const at = (inner: string) => (inner === '' ? path : `${path}: ${inner}`);
  const ignored = violations.map((violation) =>
    of(at(violation.path), `${violation.message}; the annotation is ignored`),
  );
  const known = warnings.map((warning) => of(at(warning.path), warning.message));
  return [...ignored, ...known];
}

/** Istio's annotations and labels that have no effect; those of a WorkloadGroup's template become those of its WorkloadEntries. */
function metadata(resource: Resource): Violation[] {
  const template = isKind(resource, 'WorkloadGroup') ? specOf(resource).metadata : undefined;
  return [
    ...namedAt('metadata.annotations', annotationsWithoutEffect(resource.kind, resource.metadata.annotations ?? {})),
    ...namedAt('spec.metadata.annotations', annotationsWithoutEffect('WorkloadGroup', template?.annotations ?? {})),
    ...workloadLabels(resource),
  ];
}

function workloadLabels(resource: Resource): Violation[] {
  const { kind } = resource;
  const places: readonly (readonly [path: string, labels: Readonly<Record<string, string>> | undefined])[] = [
    ['metadata.labels', resource.metadata.labels],
    ...(isKind(resource, 'WorkloadEntry') ? [['spec.labels', specOf(resource).labels] as const] : []),
    ...(isKind(resource, 'WorkloadGroup')
      ? [
          ['spec.metadata.labels', specOf(resource).metadata?.labels] as const,
          ['spec.template.labels', specOf(resource).template?.labels] as const,
        ]
      : []),
    ...(isKind(resource, 'ServiceEntry')
      ? (specOf(resource).endpoints ?? []).map(({ labels }, i) => [`spec.endpoints[${i}].labels`, labels] as const)
      : []),
  ];
  return places.flatMap(([path, labels]) => namedAt(path, labelsWithoutEffect(kind, labels ?? {})));
}

const namedAt = (path: string, found: readonly { name: string; message: string }[]): Violation[] =>
  found.map(({ name, message }) => of(keyPath(path, name), message));

/** Of what concerns this proxy, a sentence each. */
export function noteNotCompiled(
  view: MeshView,
  proxy: Pick<ProxyView, 'namespace' | 'ips'>,
  scope: Scope,
  note: (message: string) => void,
): void {
  const own = new Set([proxy.namespace, view.settings.rootNamespace]);
  const resources = [
    ...KINDS_WITHOUT_EFFECT.flatMap((kind): readonly Resource[] => view.resources(kind)),
    ...['Sidecar', 'ProxyConfig']
      .flatMap((kind) => view.resources(kind))
      .filter(({ metadata }) => own.has(metadata.namespace ?? 'default')),
    ...view.resources('WorkloadEntry').filter((item) => proxy.ips.includes(specOf(item).address ?? '')),
    ...scope.services.list.map(({ resource }) => resource),
  ];
  for (const warning of view.settings.warnings ?? []) note(`ConfigMap istio-system/istio: ${warning}`);
  const found = [
    ...scope.routes.flatMap(({ origin }) =>
      [...byTable(origin.resource), ...metadata(origin.resource)].map((violation) => ({
        resource: origin.resource,
        violation,
      })),
    ),
    ...resources.flatMap((resource) => notCompiled(resource).map((violation) => ({ resource, violation }))),
  ];
  for (const { resource, violation } of found) {
    const { path, message } = violation;
    const { namespace = 'default', name } = resource.metadata;
    note(`${resource.kind} ${namespace}/${name}${path === '' ? '' : `: ${path}`}: ${message}`);
  }
}
