/** What a proxy knows of its own workload: its xDS node, as Istio's proxies read theirs. */
import type { Node } from '../../shared/xds/core.ts';
import { UNKNOWN_WORKLOAD, type WorkloadMetadata } from '../upstream/workload-metadata.ts';

export interface OwnNode {
  /** The xDS node id. */
  readonly id: string;
  readonly workload: WorkloadMetadata;
  /** `region/zone/subZone`, absent: unknown. */
  readonly locality?: string;
  /** Of a bootstrap: the cluster whose endpoints are the proxies like this one. */
  readonly localCluster?: string;
  /** Of the node, as it was given. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/**
 * The canonical names are those that Istio's injection makes of the labels.
 * @param defaults for what the node's metadata does not say; `app` also names the canonical service
 */
export function ownNode({ id, metadata = {}, locality }: Node, defaults: Partial<WorkloadMetadata>): OwnNode {
  const text = (name: string) => (typeof metadata[name] === 'string' ? metadata[name] : undefined);
  const labels = metadata['LABELS'];
  const label = (...names: string[]) => {
    if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return undefined;
    const found = names.map((name) => labels[name]).find((value) => typeof value === 'string' && value !== '');
    return found as string | undefined;
  };
  const app = label('app.kubernetes.io/name', 'app') ?? defaults.app ?? '';
  const version = label('app.kubernetes.io/version', 'version') ?? '';
  const workload: WorkloadMetadata = {
    ...UNKNOWN_WORKLOAD,
    name: text('NAME') ?? '',
    namespace: text('NAMESPACE') ?? defaults.namespace ?? '',
    workload: text('WORKLOAD_NAME') ?? text('NAME') ?? id,
    cluster: text('CLUSTER_ID') ?? defaults.cluster ?? '',
    service: label('service.istio.io/canonical-name') ?? app,
    revision: label('service.istio.io/canonical-revision') ?? version,
    app,
    version,
    region: locality?.region ?? '',
    availabilityZone: locality?.zone ?? '',
  };
  const { region = '', zone = '', subZone = '' } = locality ?? {};
  const at = [region, zone, subZone].join('/').replace(/\/+$/, '');
  return { id, workload, ...(at !== '' && { locality: at }), metadata };
}
