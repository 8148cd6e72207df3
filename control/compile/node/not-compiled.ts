/** Fields that are accepted and stored but not translated: reported wherever a user would expect an effect. */

import { annotationsWithoutEffect } from '../../../shared/resources/effects/annotations.ts';
import { proxyMetadataWithoutEffect } from '../../../shared/resources/effects/proxy-config.ts';
import { readProxyConfig } from '../../../shared/resources/mesh-config/mesh-config-read.ts';
import type { Resource, Violation } from '../../../shared/resources/resource.ts';
import { keyPath } from '../../../shared/resources/violations.ts';
import { type Fields, fields, isFields, objects, specOf } from '../../mesh/fields.ts';
import { protocolOf } from '../../mesh/protocol.ts';
import type { MeshView } from '../../mesh/view.ts';
import { namesClaims } from '../routes/virtual-service-match.ts';
import type { ProxyView } from '../scope/proxy.ts';
import type { Scope } from '../scope/scope.ts';
import { proxyConfigAnnotations } from './proxy-config.ts';

const KINDS: ReadonlySet<string> = new Set([
  'RequestAuthentication',
  'EnvoyFilter',
  'Telemetry',
  'WasmPlugin',
  'TrafficExtension',
]);
const RULE = 'not-compiled';
const of = (path: string, message: string): Violation => ({ path, message, rule: RULE });

/** The parts of a resource that will have no effect, or another one than in Istio; each with its path. */
export function notCompiled(resource: Resource): Violation[] {
  return [...bodyNotCompiled(resource), ...annotations(resource)];
}

function bodyNotCompiled(resource: Resource): Violation[] {
  const spec = specOf(resource);
  if (KINDS.has(resource.kind)) return [of('', `${resource.kind} is not compiled yet: it has no effect`)];
  switch (resource.kind) {
    case 'ProxyConfig':
      return proxyConfig(spec);
    case 'WorkloadEntry':
      return proxyConfigAnnotations(resource).flatMap(annotation);
    case 'WorkloadGroup':
      return [...proxyConfigAnnotations(resource).flatMap(annotation), ...probe(spec)];
    case 'VirtualService':
      return claims(spec);
    case 'Sidecar':
      return egressListeners(spec);
    case 'ServiceEntry':
    case 'Service':
      return undeclaredPorts(resource.kind, spec);
    default:
      return [];
  }
}

function probe(spec: Fields): Violation[] {
  if (!isFields(spec['probe'])) return [];
  return [of('spec.probe', 'has no effect yet: proxies do not look at the health of their workload')];
}

function proxyConfig(spec: Fields): Violation[] {
  const { environmentVariables, image, selector } = spec;
  const unused = proxyMetadataWithoutEffect(fields(environmentVariables));
  const none = isFields(selector) && Object.keys(fields(selector['matchLabels'])).length === 0;
  return [
    ...(unused === undefined ? [] : [of('spec.environmentVariables', unused)]),
    ...(isFields(image) ? [of('spec.image', 'has no effect: the image is chosen where the proxy is deployed')] : []),
    ...(none
      ? [of('spec.selector', 'has no matchLabels: it selects nothing; without selector it is the namespace')]
      : []),
  ];
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

/** Istio's annotations that have no effect; those of a WorkloadGroup's template come to stand on its WorkloadEntries. */
function annotations(resource: Resource): Violation[] {
  const template = resource.kind === 'WorkloadGroup' ? fields(specOf(resource)['metadata'])['annotations'] : undefined;
  const places = [
    ['metadata.annotations', resource.kind, fields(resource.metadata.annotations)],
    ['spec.metadata.annotations', 'WorkloadEntry', fields(template)],
  ] as const;
  return places.flatMap(([path, kind, given]) =>
    annotationsWithoutEffect(kind, given).map(({ name, message }) => of(keyPath(path, name), message)),
  );
}

function claims(spec: Fields): Violation[] {
  return objects(spec['http']).flatMap((rule, i) =>
    objects(rule['match']).flatMap((match, j) =>
      namesClaims(match)
        ? [of(`spec.http[${i}].match[${j}]`, 'matches on JWT claims are not compiled yet: it never matches')]
        : [],
    ),
  );
}

function egressListeners(spec: Fields): Violation[] {
  return objects(spec['egress']).flatMap((item, i) => {
    const named = ['port', 'bind', 'captureMode'].filter((field) => item[field] !== undefined);
    if (named.length === 0) return [];
    const message =
      'egress listeners of their own are not compiled yet: its hosts are reached at the ports of their services';
    return [of(`spec.egress[${i}].${named[0]}`, message)];
  });
}

function undeclaredPorts(kind: string, spec: Fields): Violation[] {
  return objects(spec['ports']).flatMap((port, i) => {
    const declared = kind === 'Service' ? port['appProtocol'] : port['protocol'];
    if (kind === 'Service' && port['protocol'] === 'UDP') return [];
    if (protocolOf(text(declared), text(port['name'])) !== 'UNSUPPORTED') return [];
    const way = kind === 'Service' ? 'name it http-… or set appProtocol' : 'set protocol';
    return [
      of(`spec.ports[${i}]`, `no protocol is declared, calls to it are passed on as TCP: ${way} to have HTTP routed`),
    ];
  });
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Of what concerns this proxy, a sentence each. */
export function noteNotCompiled(
  view: MeshView,
  proxy: Pick<ProxyView, 'namespace' | 'ips'>,
  scope: Scope,
  note: (message: string) => void,
): void {
  const own = new Set([proxy.namespace, view.settings.rootNamespace]);
  const resources = [
    ...[...KINDS].flatMap((kind) => view.resources(kind)),
    ...['Sidecar', 'ProxyConfig']
      .flatMap((kind) => view.resources(kind))
      .filter(({ metadata }) => own.has(metadata.namespace ?? 'default')),
    ...view.resources('WorkloadEntry').filter((item) => proxy.ips.includes(text(specOf(item)['address']) ?? '')),
    ...scope.virtualServices.list,
    ...scope.services.list.map(({ resource }) => resource),
  ];
  for (const warning of view.settings.warnings ?? []) note(`ConfigMap istio-system/istio: ${warning}`);
  for (const resource of resources)
    for (const { path, message } of notCompiled(resource)) {
      const { namespace = 'default', name } = resource.metadata;
      note(`${resource.kind} ${namespace}/${name}${path === '' ? '' : `: ${path}`}: ${message}`);
    }
}
