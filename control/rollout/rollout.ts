/** One change on its way to the proxies, and what of it outlives a restart of the control plane. */

import type { Resource } from '../../shared/resources/resource.ts';
import { canonicalJson, digestText } from '../compile/output/digest.ts';
import { namespaceOf } from '../mesh/fields.ts';
import type { Step } from './policies.ts';

/**
 * - `Protected`: a write may follow whose revision before is kept; no proxy has it.
 * - `Queued`: waits until another rollout has ended.
 * - `Progressing`, `Paused`: the proxies of the step have the candidate.
 * - `Reverted`: no proxy has it.
 */
export type Phase = 'Protected' | 'Queued' | 'Progressing' | 'Paused' | 'Reverted';

/** As it is kept. */
export interface RolloutRecord {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** What is effective for the other proxies; absent: the resource is new. */
  readonly stable?: Resource | undefined;
  /** `contentDigest` of the candidate; '' where the resource is deleted. */
  readonly candidate: string;
  /** `namespace/name` */
  readonly policy: string;
  /** Those of the policy when the rollout began. */
  readonly steps: readonly Step[];
  readonly phase: Phase;
  /** Index of the step. */
  readonly step: number;
  /** Cohort numbers up to this one have the candidate; 0 to 1. */
  readonly boundary: number;
  /** Why it is in this phase; '' where there is nothing to say. */
  readonly reason: string;
  /** RFC 3339: when the rollout began. */
  readonly began: string;
}

/** `VirtualService shop/cart` */
export const targetName = ({ kind, namespace, name }: Pick<RolloutRecord, 'kind' | 'namespace' | 'name'>): string =>
  `${kind} ${namespace}/${name}`;

/** Whether proxies have the candidate. */
export const isLive = ({ phase }: Pick<RolloutRecord, 'phase'>): boolean =>
  phase === 'Progressing' || phase === 'Paused';

/** What `kubectl apply` keeps there is the manifest itself. */
const NO_CONTENT = 'kubectl.kubernetes.io/last-applied-configuration';

/** What of a revision proxies may depend on: not who wrote it, and when. '' for none. */
export function contentDigest(resource: Resource | undefined): string {
  if (!resource) return '';
  const { apiVersion, status: _status, metadata, ...body } = resource;
  const { labels = {}, annotations = {} } = metadata;
  const { [NO_CONTENT]: _applied, ...others } = annotations;
  return digestText(canonicalJson([apiVersion.split('/')[0], body, labels, others]));
}

export function targetOf(resource: Resource): Pick<RolloutRecord, 'kind' | 'namespace' | 'name'> {
  return { kind: resource.kind, namespace: namespaceOf(resource), name: resource.metadata.name };
}
