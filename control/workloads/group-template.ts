/** What a WorkloadGroup makes of each of its machines. */
import type { ResourceOfKind } from '../../shared/resources/registry.ts';
import { specOf } from '../mesh/fields.ts';

export type WorkloadGroup = ResourceOfKind<'WorkloadGroup'>;

export interface GroupTemplate {
  readonly serviceAccount: string;
  /** `metadata.labels` over `template.labels`, as istiod merges them. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: Readonly<Record<string, number>>;
  readonly network: string | undefined;
  readonly locality: string | undefined;
  readonly weight: number | undefined;
}

export function templateOf(group: WorkloadGroup): GroupTemplate {
  const { metadata, template } = specOf(group);
  return {
    serviceAccount: template?.serviceAccount || 'default',
    labels: { ...template?.labels, ...metadata?.labels },
    annotations: { ...metadata?.annotations },
    ports: { ...template?.ports },
    network: template?.network || undefined,
    locality: template?.locality || undefined,
    weight: template?.weight || undefined,
  };
}
