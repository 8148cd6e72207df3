/** PeerAuthentication: the mutual TLS mode of one port of one workload. */
import type { Resource } from '../../shared/resources/resource.ts';
import { fields, labelsOf, namespaceOf, selects, specOf } from '../mesh/fields.ts';
import type { MeshView } from '../mesh/view.ts';

/** Strictest first. */
const MODES = ['STRICT', 'PERMISSIVE', 'DISABLE'] as const;
export type MtlsMode = (typeof MODES)[number];
export interface Workload {
  namespace: string;
  labels: Record<string, string>;
}

function modeIn(mtls: unknown): MtlsMode | undefined {
  const mode = fields(mtls)['mode'];
  return MODES.find((one) => one === mode);
}

/** The mode of a port that several workloads share: the strictest that one of them has. Without workloads: STRICT. */
export function strictestMtlsMode(view: MeshView, workloads: readonly Workload[], port: number): MtlsMode {
  const modes = new Set(workloads.map((workload) => mtlsMode(view, workload, port)));
  return MODES.find((mode) => modes.has(mode)) ?? 'STRICT';
}

/**
 * Port, then workload, then namespace, then root namespace; UNSET inherits; of several at one level the oldest counts.
 * `port` is the workload's port, not the service's.
 */
export function mtlsMode(view: MeshView, workload: Workload, port: number): MtlsMode {
  const all = view.resources('PeerAuthentication');
  const { rootNamespace } = view.settings;
  const selectorOf = (item: Resource) => labelsOf(fields(specOf(item)['selector'])['matchLabels']);
  const isScoped = (item: Resource) => Object.keys(selectorOf(item)).length > 0;
  const own = all.find(
    (item) => namespaceOf(item) === workload.namespace && isScoped(item) && selects(selectorOf(item), workload.labels),
  );
  const wide = (namespace: string) => all.find((item) => namespaceOf(item) === namespace && !isScoped(item));
  const ofPort = own && fields(specOf(own)['portLevelMtls'])[String(port)];
  return (
    modeIn(ofPort) ??
    (own && modeIn(specOf(own)['mtls'])) ??
    modeIn(wide(workload.namespace) && specOf(wide(workload.namespace) as Resource)['mtls']) ??
    modeIn(wide(rootNamespace) && specOf(wide(rootNamespace) as Resource)['mtls']) ??
    'PERMISSIVE'
  );
}
