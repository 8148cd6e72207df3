/** What a WorkloadGroup makes of each of its machines. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import { specOf } from '../mesh/fields.ts';

export type WorkloadGroup = ResourceOfKind<'WorkloadGroup'>;

export interface GroupTemplate {
  readonly serviceAccount: string;
  /** `metadata.labels` over `template.labels`, as istiod merges them. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of its entries. */
  readonly annotations: Readonly<Record<string, string>>;
  /** `traffic.sidecar.istio.io/…`, which `tulle join` follows; the template's precede those of the group itself. */
  readonly capture: Readonly<Record<string, string>>;
  readonly ports: Readonly<Record<string, number>>;
  readonly network: string | undefined;
  readonly locality: string | undefined;
  readonly weight: number | undefined;
}

const isCapture = (name: string) => name.startsWith('traffic.sidecar.istio.io/');

function annotationsWhere(
  annotations: Readonly<Record<string, string>> = {},
  wanted: (name: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => wanted(name)));
}

export function templateOf(group: WorkloadGroup): GroupTemplate {
  const { metadata, template } = specOf(group);
  return {
    serviceAccount: template?.serviceAccount || 'default',
    labels: { ...template?.labels, ...metadata?.labels },
    annotations: annotationsWhere(metadata?.annotations, (name) => !isCapture(name)),
    capture: annotationsWhere({ ...group.metadata.annotations, ...metadata?.annotations }, isCapture),
    ports: { ...template?.ports },
    network: template?.network || undefined,
    locality: template?.locality || undefined,
    weight: template?.weight || undefined,
  };
}
