/**
 * What describes a workload in metrics and logs: the fields of Istio's `upstream_peer` and `downstream_peer`
 * (istio.io, "Customizing Istio Metrics with Telemetry API").
 */
import type { Endpoint } from './cluster.ts';

/** A text is '' where it is unknown. */
export interface WorkloadMetadata {
  /** Of the instance, as a pod's. */
  readonly name: string;
  readonly namespace: string;
  readonly workload: string;
  readonly cluster: string;
  /** The canonical service, and its revision. */
  readonly service: string;
  readonly revision: string;
  readonly app: string;
  readonly version: string;
  /** `deployment`, `pod`, `job` or `cronjob`, by the owner. */
  readonly type: string;
  readonly region: string;
  readonly availabilityZone: string;
}

/** The other side of a connection: a verified identity, and what describes its workload. */
export interface Peer {
  /** The SPIFFE id of its certificate. */
  readonly principal: string;
  readonly workload: WorkloadMetadata;
  /** It sent its metadata in headers, and takes those of this proxy. */
  readonly sentHeaders: boolean;
}

/** Finds workloads by address. */
export interface WorkloadLookup {
  /** @returns undefined where no endpoint of the namespace has the address, or several that differ */
  at(address: string, namespace: string): WorkloadMetadata | undefined;
}

export const UNKNOWN_WORKLOAD: WorkloadMetadata = {
  name: '',
  namespace: '',
  workload: '',
  cluster: '',
  service: '',
  revision: '',
  app: '',
  version: '',
  type: '',
  region: '',
  availabilityZone: '',
};

/** `filterMetadata.istio.workload` of an endpoint as istiod writes it, undefined without any. */
export function endpointWorkloadText(endpoint: Pick<Endpoint, 'metadata'> | undefined): string | undefined {
  const text = endpoint?.metadata?.['istio']?.['workload'];
  return typeof text === 'string' ? text : undefined;
}

/**
 * @param text `workload;namespace;canonical service;revision;cluster`. App and version are taken from the canonical names,
 *   which are made of these labels unless a workload names its own.
 */
export function readEndpointWorkload(text: string): WorkloadMetadata {
  const [workload = '', namespace = '', service = '', revision = '', cluster = ''] = text.split(';');
  return { ...UNKNOWN_WORKLOAD, workload, namespace, cluster, service, revision, app: service, version: revision };
}
